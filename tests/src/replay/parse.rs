//! The text of a scenario file to a `Scenario`. Every error names its line.
//!
//! Owns the frame of the file: config, ranges, steps. Entries are read by `entry_text.rs`.

use std::net::{IpAddr, SocketAddr};

use crate::replay::entry_text::entry;
use crate::replay::lines::{Lines, ParseError};
use crate::replay::record::{Defaults, Record, parse_question};
use crate::replay::scenario::{Dialect, Elapse, Entry, Range, Scenario, Step, StepKind};

/// Reads a whole file.
///
/// # Errors
/// At the first line that is not understood, or when the scenario does not end.
pub fn parse(text: &str) -> Result<Scenario, ParseError> {
    let mut lines = Lines::new(text);
    let config = config_lines(&mut lines)?;
    let mut parser = Parser {
        lines,
        dialect: dialect(&config),
        defaults: Defaults::default(),
    };
    let mut scenario = Scenario {
        title: String::new(),
        dialect: parser.dialect,
        config,
        ranges: Vec::new(),
        steps: Vec::new(),
    };
    while let Some(line) = parser.lines.next_significant() {
        if let Some(title) = line.strip_prefix("SCENARIO_BEGIN") {
            title.trim().clone_into(&mut scenario.title);
        } else if let Some(window) = line.strip_prefix("RANGE_BEGIN") {
            scenario.ranges.push(parser.range(window)?);
        } else if let Some(rest) = line.strip_prefix("STEP") {
            scenario.steps.push(parser.step(rest)?);
        } else if line.starts_with("SCENARIO_END") {
            return Ok(scenario);
        } else {
            parser.lines.directive(line, &mut parser.defaults)?;
        }
    }
    Err(parser.lines.error("the file ends without SCENARIO_END"))
}

fn config_lines(lines: &mut Lines<'_>) -> Result<Vec<(usize, String)>, ParseError> {
    let mut config = Vec::new();
    while let Some(line) = lines.next_verbatim() {
        if line.trim_start().starts_with("CONFIG_END") {
            return Ok(config);
        }
        config.push((lines.number(), line.to_owned()));
    }
    Err(lines.error("the file ends without CONFIG_END"))
}

/// A config with a clause is for Unbound; flat keys that only Deckard knows are for Deckard.
fn dialect(config: &[(usize, String)]) -> Dialect {
    const CLAUSES: [&str; 9] = [
        "server:",
        "stub-zone:",
        "forward-zone:",
        "auth-zone:",
        "rpz:",
        "view:",
        "cachedb:",
        "remote-control:",
        "python:",
    ];
    const KEYS: [&str; 6] = [
        "stub-addr:",
        "stub-name:",
        "query-minimization:",
        "features:",
        "force-ipv6:",
        "forward-addr:",
    ];
    let starts = |words: &[&str]| {
        config
            .iter()
            .any(|(_, line)| words.iter().any(|word| line.trim_start().starts_with(word)))
    };
    if !starts(&CLAUSES) && starts(&KEYS) {
        Dialect::Deckard
    } else {
        Dialect::Testbound
    }
}

struct Parser<'a> {
    lines: Lines<'a>,
    dialect: Dialect,
    defaults: Defaults,
}

impl Parser<'_> {
    fn number(&self, word: Option<&str>) -> Result<u32, ParseError> {
        word.and_then(|word| word.parse().ok())
            .ok_or_else(|| self.lines.error("a number is missing"))
    }

    fn ip(&self, word: Option<&str>) -> Result<IpAddr, ParseError> {
        word.and_then(|word| word.parse().ok())
            .ok_or_else(|| self.lines.error("an address is missing"))
    }

    /// An address with an optional `@port`.
    fn server(&self, word: Option<&str>) -> Result<SocketAddr, ParseError> {
        let text = word.unwrap_or_default();
        let (address, port) = text.split_once('@').unwrap_or((text, "53"));
        let port = port
            .parse()
            .map_err(|_| self.lines.error("the port is not a number"))?;
        Ok(SocketAddr::new(self.ip(Some(address))?, port))
    }

    fn range(&mut self, window: &str) -> Result<Range, ParseError> {
        let window = window.split(';').next().unwrap_or_default();
        let mut words = window.split_ascii_whitespace();
        let mut range = Range {
            first: self.number(words.next())?,
            last: self.number(words.next())?,
            addresses: Vec::new(),
            entries: Vec::new(),
        };
        if let Some(word) = words.next() {
            range.addresses.push(self.server(Some(word))?);
        }
        loop {
            let Some(line) = self.lines.next_significant() else {
                return Err(self.lines.error("the file ends inside a range"));
            };
            if line.starts_with("RANGE_END") {
                return Ok(range);
            } else if line.starts_with("ENTRY_BEGIN") {
                range.entries.push(self.entry()?);
            } else if let Some(address) = line.strip_prefix("ADDRESS") {
                let address = self.server(address.split_ascii_whitespace().next())?;
                if self.dialect == Dialect::Testbound {
                    range.addresses.clear();
                }
                range.addresses.push(address);
            } else if !line.starts_with('#') && !self.lines.directive(line, &mut self.defaults)? {
                return Err(self.lines.error(format!("a range cannot hold {line}")));
            }
        }
    }

    fn entry(&mut self) -> Result<Entry, ParseError> {
        entry(&mut self.lines, self.dialect, &mut self.defaults)
    }

    fn step(&mut self, rest: &str) -> Result<Step, ParseError> {
        let line = self.lines.number();
        let rest = rest.trim();
        let (number, rest) = rest
            .split_once(|character: char| character.is_whitespace())
            .ok_or_else(|| self.lines.error("a step has a number and a type"))?;
        let number = self.number(Some(number))?;
        let rest = rest.trim();
        let end = rest
            .find(|character: char| !character.is_ascii_uppercase() && character != '_')
            .unwrap_or(rest.len());
        let (word, arguments) = rest.split_at(end);
        let kind = self.step_kind(word, arguments)?;
        Ok(Step { line, number, kind })
    }

    fn step_kind(&mut self, word: &str, arguments: &str) -> Result<StepKind, ParseError> {
        let mut words = arguments
            .split(';')
            .next()
            .unwrap_or_default()
            .split_ascii_whitespace();
        let first = words.next();
        let second = words.next();
        let address = (first == Some("ADDRESS")).then_some(second).flatten();
        Ok(match word {
            "QUERY" => StepKind::Query {
                client: address.map(|word| self.ip(Some(word))).transpose()?,
                entry: self.step_entry()?,
            },
            "CHECK_ANSWER" => StepKind::CheckAnswer {
                client: address.map(|word| self.ip(Some(word))).transpose()?,
                entry: self.step_entry()?,
            },
            "CHECK_OUT_QUERY" => StepKind::CheckOutQuery {
                server: address.map(|word| self.server(Some(word))).transpose()?,
                entry: self.step_entry()?,
            },
            "REPLY" => StepKind::Reply(self.step_entry()?),
            "TIMEOUT" => StepKind::Timeout,
            "ERROR" => StepKind::Error,
            "NOTHING" | "TRAFFIC" => StepKind::Nothing,
            "TIME_PASSES" => StepKind::TimePasses(self.elapse(arguments)?),
            "ASSIGN" => self.assign(arguments)?,
            "CHECK_AUTOTRUST" => StepKind::CheckAutotrust {
                id: first.unwrap_or_default().to_owned(),
                lines: self.file_lines()?,
            },
            "CHECK_TEMPFILE" => {
                self.file_lines()?;
                StepKind::CheckTempfile {
                    id: first.unwrap_or_default().to_owned(),
                }
            }
            "INFRA_RTT" => StepKind::InfraRtt {
                server: self.server(first)?,
                zone: second.unwrap_or_default().to_owned(),
                milliseconds: self.number(words.next())?,
            },
            "FLUSH_MESSAGE" | "EXPIRE_MESSAGE" => StepKind::Uncache {
                question: self.uncache_question(first, second, words.next())?,
                expire: word == "EXPIRE_MESSAGE",
            },
            _ => return Err(self.lines.error(format!("there is no step type {word}"))),
        })
    }

    fn uncache_question(
        &self,
        name: Option<&str>,
        record_type: Option<&str>,
        class: Option<&str>,
    ) -> Result<Record, ParseError> {
        let line = [name, class, record_type]
            .map(Option::unwrap_or_default)
            .join(" ");
        parse_question(&line, &self.defaults).map_err(|error| self.lines.error(error.0))
    }

    fn elapse(&self, arguments: &str) -> Result<Elapse, ParseError> {
        let arguments = arguments.split(';').next().unwrap_or_default().trim();
        if let Some(expression) = arguments.strip_prefix("EVAL") {
            return Ok(Elapse::Expression(expression.trim().to_owned()));
        }
        let seconds: Option<f64> = arguments
            .strip_prefix("ELAPSE")
            .and_then(|seconds| seconds.trim().parse().ok());
        match seconds {
            Some(seconds) if (0.0..1e10).contains(&seconds) => {
                Ok(Elapse::Nanoseconds((seconds * 1e9).round() as u64))
            }
            _ => Err(self.lines.error("TIME_PASSES needs ELAPSE SECONDS or EVAL")),
        }
    }

    fn assign(&self, arguments: &str) -> Result<StepKind, ParseError> {
        let Some((variable, expression)) = arguments.split_once('=') else {
            return Err(self.lines.error("ASSIGN needs VARIABLE = EXPRESSION"));
        };
        Ok(StepKind::Assign {
            variable: variable.trim().to_owned(),
            expression: expression
                .split(';')
                .next()
                .unwrap_or_default()
                .trim()
                .to_owned(),
        })
    }

    /// The entry that belongs to a step.
    fn step_entry(&mut self) -> Result<Entry, ParseError> {
        loop {
            let Some(line) = self.lines.next_significant() else {
                return Err(self.lines.error("the file ends before the step's entry"));
            };
            if line.starts_with("ENTRY_BEGIN") {
                return self.entry();
            }
            if !line.starts_with('#') && !self.lines.directive(line, &mut self.defaults)? {
                return Err(self
                    .lines
                    .error(format!("the step's entry is missing before {line}")));
            }
        }
    }

    fn file_lines(&mut self) -> Result<Vec<String>, ParseError> {
        let mut content: Option<Vec<String>> = None;
        while let Some(line) = self.lines.next_verbatim() {
            let trimmed = line.trim();
            if trimmed.starts_with("FILE_BEGIN") {
                content = Some(Vec::new());
            } else if trimmed.starts_with("FILE_END") {
                return Ok(content.unwrap_or_default());
            } else if let Some(content) = &mut content {
                content.push(line.to_owned());
            }
        }
        Err(self.lines.error("the file ends before FILE_END"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = "\
; a comment
server:
    qname-minimisation: no
stub-zone: name: \".\" stub-addr: 192.0.2.1
CONFIG_END
SCENARIO_BEGIN  two words
RANGE_BEGIN 0 100
    ADDRESS 192.0.2.1@5353
$ORIGIN example.
ENTRY_BEGIN
MATCH opcode subdomain ; and no more
# a comment too
ADJUST copy_id copy_query
REPLY QR AA DO
SECTION QUESTION
www A
SECTION ANSWER
www 60 A 192.0.2.7
HEX_EDNSDATA_BEGIN
 00 0f ; code
HEX_EDNSDATA_END
ENTRY_END
RANGE_END
junk
STEP 1 QUERY ADDRESS 10.0.0.1
ENTRY_BEGIN
REPLY RD
SECTION QUESTION
www A
ENTRY_END
STEP 2 TIME_PASSES ELAPSE 1.5
STEP 3 TIME_PASSES EVAL ${$x + 1}
STEP 4 ASSIGN x = ${time} ; now
STEP 5 CHECK_AUTOTRUST id
FILE_BEGIN
; kept
FILE_END
SCENARIO_END
more
";

    #[test]
    fn the_frame_of_a_file() {
        let scenario = parse(SMALL).unwrap();
        assert_eq!(scenario.title, "two words");
        assert_eq!(scenario.dialect, Dialect::Testbound);
        assert_eq!(scenario.config.len(), 4);
        let range = &scenario.ranges[0];
        assert_eq!(range.addresses, ["192.0.2.1:5353".parse().unwrap()]);
        let draft = range.entries[0].draft();
        assert_eq!(draft.records[1].1.owner, b"\x03www\x07example\x00");
        assert_eq!(draft.opt.as_ref().unwrap().data, [0, 15]);
        assert_eq!(range.entries[0].line, 10);
        assert_eq!(scenario.steps.len(), 5);
        assert!(matches!(
            &scenario.steps[1].kind,
            StepKind::TimePasses(Elapse::Nanoseconds(1_500_000_000))
        ));
        assert!(matches!(
            &scenario.steps[4].kind,
            StepKind::CheckAutotrust { lines, .. } if lines == &["; kept"]
        ));
    }

    #[test]
    fn errors_name_their_line() {
        let broken = SMALL.replace("www 60 A 192.0.2.7", "www 60 A nowhere");
        assert_eq!(parse(&broken).unwrap_err().line, 18);
        let broken = SMALL.replace("MATCH opcode", "MATCH everything");
        assert_eq!(parse(&broken).unwrap_err().line, 11);
        assert!(parse("server:\n").is_err());
    }

    #[test]
    fn flat_keys_are_deckard() {
        let text = "stub-addr: 1.2.3.4\nCONFIG_END\nSCENARIO_BEGIN x\nSCENARIO_END\n";
        assert_eq!(parse(text).unwrap().dialect, Dialect::Deckard);
    }
}
