//! A service's own pages for errors: statuses and files in, [`ErrorPages`] whose files the rim reads
//! out.

use super::section::{Section, text_of};
use super::values::path;
use super::{Problem, Problems};
use crate::http::page::{ErrorPages, Page, Statuses};

pub(super) fn error_pages(service: &mut Section<'_>, problems: &mut Problems) -> ErrorPages {
    let Some(section) = service.table_if_given(problems, "error_pages") else {
        return ErrorPages::default();
    };
    let mut pages = Vec::new();
    for (key, value) in section.entries() {
        let statuses = match key.value.parse::<Statuses>() {
            Ok(statuses) => statuses,
            Err(why) => {
                let message = format!("`{}` is no status of an error", key.value);
                problems.0.push(Problem::error(key.span, message).label(why));
                continue;
            }
        };
        let file = text_of(problems, key.value, value, path);
        pages.extend(file.map(|file| (statuses, Page::File(file.value))));
    }
    ErrorPages::new(pages)
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    #[test]
    fn what_is_no_status_of_an_error_is_refused_where_it_stands() {
        let parse = |pages: &str| {
            let text = format!(
                "[[listeners]]\naddress = \":80\"\n[services.a]\nerror_pages = {pages}\n\
                 [services.a.pools.b]\nupstreams = [\"a:1\"]\n"
            );
            Config::parse(&text).map(drop).map_err(|problems| problems.lines(&text, "t").join("\n"))
        };
        assert_eq!(parse("{ 503 = \"busy.html\", 5xx = \"sorry.html\", 4xx = \"a\" }"), Ok(()));
        for (pages, said) in [
            ("{ 200 = \"fine.html\" }", "`200` is no status of an error"),
            ("{ 6xx = \"a\" }", "`6xx` is no status of an error"),
            ("{ 503 = \"\" }", "bad value for `503`"),
            ("{ 503 = 1 }", "503"),
            ("\"sorry.html\"", "error_pages"),
        ] {
            let refused = parse(pages).unwrap_err();
            assert!(refused.contains(said), "{pages}: {refused}");
        }
    }
}
