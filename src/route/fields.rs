//! What becomes of fields on a route: rules and what their variables stand for in, changes out.

use http::header::{HeaderName, HeaderValue};

use super::template::{Template, Variable};

/// Rules for the fields of a request or of a response, in the order in which they are applied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldRules(pub Vec<FieldRule>);

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FieldRule {
    /// All lines of the field go.
    Remove(HeaderName),
    /// All lines of the field become this one.
    Set(HeaderName, Template),
    /// One line more.
    Add(HeaderName, Template),
}

/// What becomes of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FieldChange<'r> {
    /// All its lines go.
    Remove(&'r HeaderName),
    /// All its lines become this one.
    Set(&'r HeaderName, HeaderValue),
    /// One line more.
    Add(&'r HeaderName, HeaderValue),
}

impl FieldRules {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The fields that the rules are about and that do not stay as they came.
    pub fn names(&self) -> impl Iterator<Item = &HeaderName> {
        self.0.iter().filter_map(|rule| match rule {
            FieldRule::Remove(name) | FieldRule::Set(name, _) => Some(name),
            FieldRule::Add(..) => None,
        })
    }

    /// Whether any of them is about this field.
    pub fn is_about(&self, name: &HeaderName) -> bool {
        self.0.iter().any(|rule| match rule {
            FieldRule::Remove(own) | FieldRule::Set(own, _) | FieldRule::Add(own, _) => own == name,
        })
    }

    /// The changes, where `value` writes what a variable stands for; no if that is nothing: a field whose
    /// value nobody knows is not there.
    pub fn changes(
        &self,
        mut value: impl FnMut(Variable, &mut String) -> bool,
    ) -> impl Iterator<Item = FieldChange<'_>> {
        let mut written = move |template: &Template| {
            let (mut text, mut is_known) = (String::new(), true);
            template.write(&mut text, |variable, into| is_known &= value(variable, into));
            // What no field can hold is not sent.
            HeaderValue::try_from(text).ok().filter(|_| is_known)
        };
        self.0.iter().filter_map(move |rule| match rule {
            FieldRule::Remove(name) => Some(FieldChange::Remove(name)),
            FieldRule::Set(name, template) => Some(match written(template) {
                Some(value) => FieldChange::Set(name, value),
                None => FieldChange::Remove(name),
            }),
            FieldRule::Add(name, template) => {
                written(template).map(|value| FieldChange::Add(name, value))
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_nobody_knows_or_no_field_can_hold_is_not_sent() {
        let name = |text: &'static str| HeaderName::from_static(text);
        let known = [Variable::Client, Variable::Pool, Variable::Host];
        let template = |text: &str| Template::parse(text, &known).unwrap();
        let rules = FieldRules(vec![
            FieldRule::Remove(name("x-gone")),
            FieldRule::Set(name("x-pool"), template("in {pool}")),
            FieldRule::Set(name("x-client"), template("a{client}")),
            FieldRule::Add(name("x-odd"), template("{host}")),
            FieldRule::Add(name("x-more"), template("1")),
        ]);
        let changes = rules.changes(|variable, into| {
            match variable {
                Variable::Pool => into.push_str("blue"),
                Variable::Host => into.push_str("a\r\nset-cookie: x"),
                _ => return false,
            }
            true
        });
        let changes: Vec<_> = changes.collect();
        let value = |text| HeaderValue::from_static(text);
        assert_eq!(
            changes,
            [
                FieldChange::Remove(&name("x-gone")),
                FieldChange::Set(&name("x-pool"), value("in blue")),
                FieldChange::Remove(&name("x-client")),
                FieldChange::Add(&name("x-more"), value("1")),
            ]
        );
    }
}
