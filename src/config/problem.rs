//! What is wrong with a file, and where: a span and words in, a picture for people out.

use std::ops::Range;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level as Title, Renderer, Snippet};

use super::texts::{Place, Run, Texts};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Odd, but usable.
    Warning,
    /// Not usable.
    Error,
}

/// How many problems are shown: nobody reads more, and each is mended one at a time.
const SHOWN: usize = 20;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// How bad it is.
    pub level: Level,
    /// What is wrong, as one sentence.
    pub message: String,
    /// The bytes of the file that are to blame; none if something is missing altogether.
    pub span: Option<Range<usize>>,
    /// Words beneath the caret.
    pub label: String,
    /// Another place that matters, with words.
    pub other: Option<(Range<usize>, String)>,
    /// What to do.
    pub help: Option<String>,
}

/// All that is wrong with one file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl Problem {
    /// An error at a place of the file.
    pub fn error(span: Range<usize>, message: impl Into<String>) -> Problem {
        Problem {
            level: Level::Error,
            message: message.into(),
            span: Some(span),
            label: String::new(),
            other: None,
            help: None,
        }
    }

    /// An error that stands nowhere in the text.
    pub fn general(message: impl Into<String>) -> Problem {
        Problem { span: None, ..Problem::error(0..0, message) }
    }

    /// Words beneath the caret.
    pub fn label(mut self, label: impl Into<String>) -> Problem {
        self.label = label.into();
        self
    }

    /// What to do.
    pub fn help(mut self, help: impl Into<String>) -> Problem {
        self.help = Some(help.into());
        self
    }

    /// Another place that matters.
    pub fn other(mut self, span: Range<usize>, label: impl Into<String>) -> Problem {
        self.other = Some((span, label.into()));
        self
    }

    /// Not bad enough to refuse the file.
    pub fn warning(mut self) -> Problem {
        self.level = Level::Warning;
        self
    }

    /// Line and column in a single text, from 1, in characters; none without a place.
    pub fn position(&self, text: &str) -> Option<(usize, usize)> {
        let place = Run::of("", text).place(self.span.as_ref()?.start)?;
        Some((place.line, place.column))
    }

    /// Where it is; none without a place.
    pub fn place<'t>(&self, texts: &'t Texts) -> Option<Place<'t>> {
        texts.run().place(self.span.as_ref()?.start)
    }
}

impl Problems {
    /// Whether anything makes the file unusable.
    pub fn any_error(&self) -> bool {
        self.0.iter().any(|problem| problem.level == Level::Error)
    }

    /// How many are of this level.
    pub fn count(&self, level: Level) -> usize {
        self.0.iter().filter(|problem| problem.level == level).count()
    }

    /// All of them as people read them: message, file, line, column, the line and a caret.
    pub fn render(&self, text: &str, path: &str, colour: bool) -> String {
        self.render_in(&Run::of(path, text), colour)
    }

    /// The same of a file and what it includes.
    pub fn render_of(&self, texts: &Texts, colour: bool) -> String {
        self.render_in(&texts.run(), colour)
    }

    fn render_in(&self, run: &Run<'_>, colour: bool) -> String {
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        let renderer = renderer.decor_style(DecorStyle::Ascii);
        let one = |problem: &Problem| renderer.render(&[problem.group(run)]);
        let shown = self.shown().into_iter().map(one);
        shown.chain(self.left_out()).collect::<Vec<_>>().join("\n\n")
    }

    /// Those that are shown, in the order of the file; if there are too many, errors before warnings.
    pub fn shown(&self) -> Vec<&Problem> {
        let of = |level| self.0.iter().filter(move |problem| problem.level == level);
        match self.0.len() <= SHOWN {
            true => self.0.iter().collect(),
            false => of(Level::Error).chain(of(Level::Warning)).take(SHOWN).collect(),
        }
    }

    /// How many there are beside those that are shown, in words; none if there are no more.
    fn left_out(&self) -> Option<String> {
        let more = self.0.len().saturating_sub(SHOWN);
        (more > 0).then(|| format!("… and {more} more"))
    }

    /// Whether there are more than are shown: what is found now need not be told in many words.
    pub(super) fn are_many(&self) -> bool {
        self.0.len() > SHOWN
    }

    /// As [`Problems::render`], but a line each: `file:line:column: message`.
    pub fn lines(&self, text: &str, path: &str) -> Vec<String> {
        self.lines_in(&Run::of(path, text))
    }

    /// The same of a file and what it includes.
    pub fn lines_of(&self, texts: &Texts) -> Vec<String> {
        self.lines_in(&texts.run())
    }

    fn lines_in(&self, run: &Run<'_>) -> Vec<String> {
        let line = |problem: &Problem| {
            let at = problem.span.as_ref().and_then(|span| run.place(span.start));
            let place = match at {
                Some(Place { path, line, column }) => format!("{path}:{line}:{column}"),
                None => run.at(0).0.to_string(),
            };
            format!("{place}: {}", problem.message)
        };
        self.shown().into_iter().map(line).chain(self.left_out()).collect()
    }
}

/// Lines of one text that a problem is about.
struct Lines<'t> {
    path: &'t str,
    lines: &'t str,
    /// The place where they begin.
    begin: usize,
    /// The number of the first.
    number: usize,
}

impl Problem {
    /// As a picture above the lines that it is about; those of two texts are shown apart.
    fn group<'a>(&'a self, run: &Run<'a>) -> Group<'a> {
        let title = match self.level {
            Level::Error => Title::ERROR,
            Level::Warning => Title::WARNING,
        };
        let mut group = Group::with_title(title.primary_title(self.message.as_str()));
        let Some(span) = &self.span else {
            let group = group.element(annotate_snippets::Origin::path(run.at(0).0));
            return self.with_help(group);
        };
        let begins = |span: &Range<usize>| run.at(span.start).2;
        let other = self.other.as_ref();
        let beside = other.filter(|(other, _)| begins(other) == begins(span));
        let spans: Vec<_> =
            [Some(span), beside.map(|(other, _)| other)].into_iter().flatten().collect();
        let lines = Lines::around(run, &spans);
        let primary = AnnotationKind::Primary.span(lines.mark(span)).label(self.label.as_str());
        let mut snippet = lines.snippet().annotation(primary);
        if let Some((other, label)) = beside {
            let context = AnnotationKind::Context.span(lines.mark(other)).label(label.as_str());
            snippet = snippet.annotation(context);
        }
        group = group.element(snippet);
        if let Some((other, label)) = other.filter(|_| beside.is_none()) {
            let lines = Lines::around(run, &[other]);
            let context = AnnotationKind::Context.span(lines.mark(other)).label(label.as_str());
            group = group.element(lines.snippet().annotation(context));
        }
        self.with_help(group)
    }

    fn with_help<'a>(&'a self, group: Group<'a>) -> Group<'a> {
        match &self.help {
            Some(help) => group.element(Title::HELP.message(help.as_str())),
            None => group,
        }
    }
}

impl<'t> Lines<'t> {
    /// The lines of spans in one text.
    fn around(run: &Run<'t>, spans: &[&Range<usize>]) -> Lines<'t> {
        let start = spans.iter().map(|span| span.start).min().unwrap_or_default();
        let (path, text, begins) = run.at(start);
        let within = |at: usize| at.saturating_sub(begins);
        let ends =
            spans.iter().map(|span| visible(&(within(span.start)..within(span.end)), text).end);
        let end = ends.max().unwrap_or_default();
        let (Some(before), Some(after)) = (text.get(..within(start)), text.get(end..)) else {
            return Lines { path, lines: text, begin: begins, number: 1 };
        };
        let first = before.rfind('\n').map_or(0, |at| at + 1);
        let last = after.find('\n').map_or(text.len(), |at| end + at);
        let number = before.matches('\n').count() + 1;
        Lines { path, lines: &text[first..last], begin: begins + first, number }
    }

    /// Where a span is in these lines.
    fn mark(&self, span: &Range<usize>) -> Range<usize> {
        let within = |at: usize| at.saturating_sub(self.begin);
        visible(&(within(span.start)..within(span.end)), self.lines)
    }

    fn snippet<'a, T: Clone>(&self) -> Snippet<'a, T>
    where
        't: 'a,
    {
        Snippet::source(self.lines).line_start(self.number).path(self.path)
    }
}

/// The first line of a span: a caret beneath a whole table would hide what it means.
fn visible(span: &Range<usize>, text: &str) -> Range<usize> {
    let end = text.len();
    let (start, stop) = (span.start.min(end), span.end.min(end));
    let line = text.get(start..stop).and_then(|marked| marked.find('\n'));
    start..line.map_or(stop, |at| start + at)
}
