//! Paths with places to fill in.

use std::fmt;

use ferryway_core::{JobId, RunNumber};
use jiff::civil::Date;

use super::fault::{listed, nearest};

/// A path with the places `{name}`, `{job}`, `{run}` and `{date}`; `{{` and `}}` stand for a
/// brace.
#[derive(Clone, PartialEq, Eq)]
pub struct Template {
    text: String,
    parts: Vec<Part>,
}

/// What fills a template.
#[derive(Clone, Copy, Debug)]
pub struct TemplateValues<'a> {
    /// The file name of the source.
    pub name: &'a str,
    /// The job.
    pub job: &'a JobId,
    /// Its run number.
    pub run: RunNumber,
    /// The day of the job's acceptance, so that a retry after midnight keeps its name.
    pub date: Date,
}

/// Why a text is no template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidTemplate(String);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Place(Place),
}

ferryway_core::words! {
    /// A place in a template.
    Place {
        /// The source's file name.
        Name = "name",
        /// The job's id.
        Job = "job",
        /// The job's run number.
        Run = "run",
        /// The day as YYYYMMDD.
        Date = "date",
    }
}

impl Template {
    /// The template as the configuration has it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The text of the template that stands for a path as it is.
    pub fn literal(path: &str) -> String {
        path.replace('{', "{{").replace('}', "}}")
    }

    /// Whether the template has this place.
    pub fn has(&self, place: Place) -> bool {
        self.parts.contains(&Part::Place(place))
    }

    /// The path of one job. The result is text: whoever uses it parses it into a path, which
    /// refuses what a strange file name could smuggle in.
    pub fn fill(&self, values: &TemplateValues<'_>) -> String {
        let mut path = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => path.push_str(text),
                Part::Place(Place::Name) => path.push_str(values.name),
                Part::Place(Place::Job) => path.push_str(values.job.as_str()),
                Part::Place(Place::Run) => path.push_str(&values.run.to_string()),
                Part::Place(Place::Date) => {
                    path.push_str(&values.date.strftime("%Y%m%d").to_string());
                }
            }
        }
        path
    }

    /// The path with `x` in every place, to look at its shape.
    pub(super) fn shape(&self) -> String {
        let part = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Place(_) => "x".to_owned(),
        };
        self.parts.iter().map(part).collect()
    }
}

impl std::str::FromStr for Template {
    type Err = InvalidTemplate;

    fn from_str(text: &str) -> Result<Self, InvalidTemplate> {
        if text.is_empty() {
            return Err(InvalidTemplate("the path is empty".to_owned()));
        }
        if text.contains(['\r', '\n', '\0']) {
            let text = text.escape_debug();
            return Err(InvalidTemplate(format!("`{text}`: CR, LF and NUL are not allowed")));
        }
        Ok(Self { text: text.to_owned(), parts: parts(text)? })
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(f)
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

fn parts(text: &str) -> Result<Vec<Part>, InvalidTemplate> {
    let mut parts = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        literal.push_str(&rest[..at]);
        let brace = &rest[at..];
        if let Some(after) = brace.strip_prefix("{{").or_else(|| brace.strip_prefix("}}")) {
            literal.push_str(&brace[..1]);
            rest = after;
            continue;
        }
        let (word, after) = brace
            .strip_prefix('{')
            .and_then(|inside| inside.split_once('}'))
            .ok_or_else(|| InvalidTemplate(format!("`{text}` has a brace without its pair")))?;
        if !literal.is_empty() {
            parts.push(Part::Text(std::mem::take(&mut literal)));
        }
        parts.push(Part::Place(place(word)?));
        rest = after;
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        parts.push(Part::Text(literal));
    }
    Ok(parts)
}

fn place(word: &str) -> Result<Place, InvalidTemplate> {
    Place::from_word(word).ok_or_else(|| {
        let near = nearest(word, Place::WORDS.iter().copied())
            .map_or_else(String::new, |near| format!(": did you mean `{{{near}}}`?"));
        let places = listed(Place::WORDS.iter().copied());
        InvalidTemplate(format!("`{{{word}}}` is none of the places {places}{near}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(template: &str) -> Result<String, InvalidTemplate> {
        let job: JobId = "PRDY014".parse().unwrap();
        let date = jiff::civil::date(2000, 3, 1);
        let values = TemplateValues { name: "a.csv", job: &job, run: RunNumber(4), date };
        Ok(template.parse::<Template>()?.fill(&values))
    }

    #[test]
    fn places_are_filled_and_doubled_braces_are_braces() {
        assert_eq!(fill("in/{date}/{job}-{run}-{name}").unwrap(), "in/20000301/PRDY014-4-a.csv");
        assert_eq!(fill("a{{b}}").unwrap(), "a{b}");
    }

    #[test]
    fn unknown_places_open_braces_and_line_ends_are_refused() {
        let error = |template| fill(template).unwrap_err().to_string();
        assert!(error("{nmae}").ends_with("did you mean `{name}`?"));
        assert!(error("a}").contains("without its pair"));
        assert!(error("{name").contains("without its pair"));
        assert_eq!(error("a\r\nDELE b"), r"`a\r\nDELE b`: CR, LF and NUL are not allowed");
        assert_eq!(error(""), "the path is empty");
    }
}
