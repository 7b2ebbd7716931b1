//! The file as it is written, with the files that it includes: several texts in, one run of places out.
//!
//! The places of the first text come first, then those of the next, and so on: whoever reads the config
//! notes where something stands and need not know in which text that is.

/// A text and what to call it in messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// The file's path, or a name for a text without one.
    pub path: String,
    /// The text.
    pub text: String,
}

/// The file and what it includes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Texts {
    /// The file itself.
    pub main: Text,
    /// What it includes, in the order in which it is read.
    pub included: Vec<Text>,
}

/// A line of a text, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'t> {
    /// What the text is called.
    pub path: &'t str,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
}

/// Texts one after the other, each with its name.
#[derive(Clone, Debug)]
pub(super) struct Run<'t>(Vec<(&'t str, &'t str)>);

impl Texts {
    /// A file that includes nothing.
    pub fn of(path: impl Into<String>, text: impl Into<String>) -> Texts {
        Texts { main: Text { path: path.into(), text: text.into() }, included: Vec::new() }
    }

    pub(super) fn run(&self) -> Run<'_> {
        let all = std::iter::once(&self.main).chain(&self.included);
        Run(all.map(|text| (&*text.path, &*text.text)).collect())
    }

    /// How many bytes they have together.
    pub fn len(&self) -> usize {
        self.included.iter().fold(self.main.text.len(), |sum, text| sum + text.text.len())
    }

    /// Whether there is nothing in them.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<'t> Run<'t> {
    pub fn of(path: &'t str, text: &'t str) -> Run<'t> {
        Run(vec![(path, text)])
    }

    /// Each text with its name and the place where it begins.
    pub fn parts(&self) -> impl Iterator<Item = (&'t str, &'t str, usize)> {
        self.0.iter().scan(0, |next, &(path, text)| {
            let begins = *next;
            // The end of one is not the beginning of the next.
            *next = begins + text.len() + 1;
            Some((path, text, begins))
        })
    }

    /// The text of a place, with its name and the place where it begins.
    pub fn at(&self, place: usize) -> (&'t str, &'t str, usize) {
        let before = self.parts().take_while(|&(_, _, begins)| begins <= place);
        before.last().unwrap_or(("", "", 0))
    }

    /// Line and column of a place.
    pub fn place(&self, at: usize) -> Option<Place<'t>> {
        let (path, text, begins) = self.at(at);
        let before = text.get(..at - begins)?;
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().map_or(0, |last| last.chars().count()) + 1;
        Some(Place { path, line, column })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_of_one_text_and_ends_of_texts_are_apart() {
        let text = |path: &str, text: &str| Text { path: path.into(), text: text.into() };
        let included = vec![text("b", ""), text("c", "x\nyz")];
        let texts = Texts { main: text("a", "ab\n"), included };
        let run = texts.run();
        let place = |at| run.place(at).map(|place| (place.path, place.line, place.column));
        assert_eq!(place(0), Some(("a", 1, 1)));
        assert_eq!(place(3), Some(("a", 2, 1)));
        assert_eq!(place(4), Some(("b", 1, 1)));
        assert_eq!(place(5), Some(("c", 1, 1)));
        assert_eq!(place(8), Some(("c", 2, 2)));
        assert_eq!(place(9), Some(("c", 2, 3)));
        assert_eq!(place(10), None);
        assert_eq!(texts.len(), 7);
    }
}
