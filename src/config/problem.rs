//! What is wrong with a file, and where: a span and words in, a picture for people out.

use std::ops::Range;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level as Title, Renderer, Snippet};

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

    /// Line and column, from 1, in characters; none without a place.
    pub fn position(&self, text: &str) -> Option<(usize, usize)> {
        let before = text.get(..self.span.as_ref()?.start)?;
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().map_or(0, |l| l.chars().count()) + 1;
        Some((line, column))
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
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        let renderer = renderer.decor_style(DecorStyle::Ascii);
        let one = |problem: &Problem| {
            let (part, first, line) = problem.part(text);
            renderer.render(&[problem.group(part, first, line, path)])
        };
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
        let line = |problem: &Problem| {
            let place = match problem.position(text) {
                Some((line, column)) => format!("{path}:{line}:{column}"),
                None => path.to_string(),
            };
            format!("{place}: {}", problem.message)
        };
        self.shown().into_iter().map(line).chain(self.left_out()).collect()
    }
}

impl Problem {
    /// The lines of a text that it is about, with the place where they begin and their line's number.
    fn part<'t>(&self, text: &'t str) -> (&'t str, usize, usize) {
        let spans = || self.span.iter().chain(self.other.iter().map(|(span, _)| span));
        let start = spans().map(|span| span.start).min().unwrap_or_default();
        let end = spans().map(|span| visible(span, text).end).max().unwrap_or_default();
        let (Some(before), Some(after)) = (text.get(..start), text.get(end..)) else {
            return (text, 0, 1);
        };
        let first = before.rfind('\n').map_or(0, |at| at + 1);
        let last = after.find('\n').map_or(text.len(), |at| end + at);
        (&text[first..last], first, before.matches('\n').count() + 1)
    }

    /// As a picture above these lines, which begin at this place of the text.
    fn group<'a>(&'a self, text: &'a str, first: usize, line: usize, path: &'a str) -> Group<'a> {
        let title = match self.level {
            Level::Error => Title::ERROR,
            Level::Warning => Title::WARNING,
        };
        let mut group = Group::with_title(title.primary_title(self.message.as_str()));
        if let Some(span) = &self.span {
            let mark = |span: &Range<usize>| {
                let within = |at: usize| at.saturating_sub(first);
                visible(&(within(span.start)..within(span.end)), text)
            };
            let primary = AnnotationKind::Primary.span(mark(span)).label(self.label.as_str());
            let mut snippet = Snippet::source(text).line_start(line).path(path).annotation(primary);
            if let Some((other, label)) = &self.other {
                let context = AnnotationKind::Context.span(mark(other)).label(label.as_str());
                snippet = snippet.annotation(context);
            }
            group = group.element(snippet);
        } else {
            group = group.element(annotate_snippets::Origin::path(path));
        }
        match &self.help {
            Some(help) => group.element(Title::HELP.message(help.as_str())),
            None => group,
        }
    }
}

/// The first line of a span: a caret beneath a whole table would hide what it means.
fn visible(span: &Range<usize>, text: &str) -> Range<usize> {
    let end = text.len();
    let (start, stop) = (span.start.min(end), span.end.min(end));
    let line = text.get(start..stop).and_then(|marked| marked.find('\n'));
    start..line.map_or(stop, |at| start + at)
}
