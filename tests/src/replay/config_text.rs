//! The text of an `unbound.conf` fragment with the harness lines of testbound.
//!
//! Owns how it is cut into clauses and options. Never knows what an option means.

use crate::replay::lines::ParseError;

/// One option with its values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OptionLine {
    /// Where it stands.
    pub line: usize,
    /// Its name.
    pub key: String,
    /// Its values.
    pub values: Vec<String>,
}

/// The options of one opened clause.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Clause {
    /// `server`, `stub-zone` and so on; empty for options before any clause.
    pub name: String,
    /// Its options.
    pub options: Vec<OptionLine>,
}

/// A trust anchor file that the scenario brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnchorFile {
    /// Its name.
    pub id: String,
    /// Its lines.
    pub lines: Vec<String>,
}

/// The whole fragment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigText {
    /// The clauses in file order; `server:` may stand several times.
    pub clauses: Vec<Clause>,
    /// Trust anchor files.
    pub anchor_files: Vec<AnchorFile>,
}

const CLAUSES: [&str; 11] = [
    "server",
    "stub-zone",
    "forward-zone",
    "auth-zone",
    "rpz",
    "view",
    "cachedb",
    "remote-control",
    "python",
    "dnstap",
    "dnscrypt",
];

/// Options with two values.
const PAIRS: [&str; 7] = [
    "local-zone",
    "access-control",
    "access-control-view",
    "access-control-tag",
    "response-ip",
    "response-ip-data",
    "edns-client-string",
];

/// Cuts the lines before CONFIG_END.
///
/// # Errors
/// When an option has no value or a harness block does not end.
pub fn config_text(lines: &[(usize, String)]) -> Result<ConfigText, ParseError> {
    let mut config = ConfigText::default();
    let mut tokens = Vec::new();
    let mut lines = lines.iter();
    while let Some((number, line)) = lines.next() {
        let trimmed = line.trim();
        if let Some(id) = trimmed.strip_prefix("AUTOTRUST_FILE") {
            config.anchor_files.push(AnchorFile {
                id: id.trim().to_owned(),
                lines: block(&mut lines, *number, "AUTOTRUST_END")?,
            });
            tokens.push((*number, "server:".to_owned(), false));
        } else if trimmed.starts_with("TEMPFILE_CONTENTS") {
            block(&mut lines, *number, "TEMPFILE_END")?;
        } else if let Some(id) = trimmed.strip_prefix("TEMPFILE_NAME") {
            tokens.push((*number, id.trim().to_owned(), true));
        } else if !trimmed.starts_with(';') && !trimmed.starts_with("COMMANDLINE") {
            cut(*number, trimmed, &mut tokens);
        }
    }
    config.clauses = clauses(&tokens)?;
    Ok(config)
}

fn block<'a>(
    lines: &mut impl Iterator<Item = &'a (usize, String)>,
    number: usize,
    end: &str,
) -> Result<Vec<String>, ParseError> {
    let mut content = Vec::new();
    for (_, line) in lines {
        if line.trim().starts_with(end) {
            return Ok(content);
        }
        content.push(line.clone());
    }
    Err(ParseError {
        line: number,
        what: format!("{end} is missing"),
    })
}

/// A token: where it stands, its text, whether it was quoted (and so cannot be a key).
type Token = (usize, String, bool);

fn cut(number: usize, line: &str, tokens: &mut Vec<Token>) {
    let mut rest = line;
    loop {
        rest = rest.trim_start();
        let Some(first) = rest.chars().next() else {
            return;
        };
        match first {
            '#' => return,
            '"' | '\'' => {
                let inner = rest.get(1..).unwrap_or_default();
                let (value, after) = inner.split_once(first).unwrap_or((inner, ""));
                tokens.push((number, value.to_owned(), true));
                rest = after;
            }
            _ => {
                let end = rest
                    .find(|character: char| character.is_whitespace() || "#\"'".contains(character))
                    .unwrap_or(rest.len());
                let (word, after) = rest.split_at(end);
                // `key:value` without a space between is two tokens; an address is not.
                match word.split_once(':') {
                    Some((key, value)) if !value.is_empty() && is_key(key) && !is_address(word) => {
                        tokens.push((number, format!("{key}:"), false));
                        tokens.push((number, value.to_owned(), true));
                    }
                    _ => tokens.push((number, word.to_owned(), false)),
                }
                rest = after;
            }
        }
    }
}

/// Whether a word before a colon can be an option's name.
fn is_key(word: &str) -> bool {
    word.starts_with(|first: char| first.is_ascii_lowercase())
        && word.chars().all(|character| {
            character.is_ascii_lowercase() || character.is_ascii_digit() || character == '-'
        })
}

/// Whether a word is an address, or an address with a prefix length or a port.
fn is_address(word: &str) -> bool {
    let end = word.find(['/', '@']).unwrap_or(word.len());
    word.get(..end)
        .is_some_and(|address| address.parse::<std::net::IpAddr>().is_ok())
}

fn clauses(tokens: &[Token]) -> Result<Vec<Clause>, ParseError> {
    let mut clauses = vec![Clause::default()];
    let mut rest = tokens.iter();
    while let Some((line, text, quoted)) = rest.next() {
        let error = |what: String| ParseError { line: *line, what };
        let Some(key) = text.strip_suffix(':').filter(|_| !quoted) else {
            return Err(error(format!("{text} stands where an option should")));
        };
        if CLAUSES.contains(&key) {
            clauses.push(Clause {
                name: key.to_owned(),
                options: Vec::new(),
            });
            continue;
        }
        let count = if PAIRS.contains(&key) { 2 } else { 1 };
        let mut values = Vec::new();
        for _ in 0..count {
            match rest.next() {
                Some((_, value, _)) => values.push(value.clone()),
                None => return Err(error(format!("{key} has no value"))),
            }
        }
        if let Some(clause) = clauses.last_mut() {
            clause.options.push(OptionLine {
                line: *line,
                key: key.to_owned(),
                values,
            });
        }
    }
    clauses.retain(|clause| !clause.name.is_empty() || !clause.options.is_empty());
    Ok(clauses)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> ConfigText {
        let lines: Vec<(usize, String)> = text
            .lines()
            .enumerate()
            .map(|(index, line)| (index + 1, line.to_owned()))
            .collect();
        config_text(&lines).unwrap()
    }

    #[test]
    fn free_form_options() {
        let config = read(
            "; comment\nserver: # comment\n  a-key:\n   'x # y'\n  private-address: fe80::/10 ede:yes\n\
             local-zone: \"test.\" nodefault\nstub-zone:\n name: \".\" stub-addr: 2001:db8::1\n\
             AUTOTRUST_FILE example.com\n; line\nAUTOTRUST_END\nlast: 1\n",
        );
        let server = &config.clauses[0];
        let keys: Vec<&str> = server
            .options
            .iter()
            .map(|option| option.key.as_str())
            .collect();
        assert_eq!(keys, ["a-key", "private-address", "ede", "local-zone"]);
        assert_eq!(server.options[0].values, ["x # y"]);
        assert_eq!(server.options[1].values, ["fe80::/10"]);
        assert_eq!(server.options[3].values, ["test.", "nodefault"]);
        assert_eq!(config.clauses[1].options[1].values, ["2001:db8::1"]);
        assert_eq!(config.clauses[2].name, "server");
        assert_eq!(config.clauses[2].options[0].key, "last");
        assert_eq!(config.anchor_files[0].lines, ["; line"]);
    }

    #[test]
    fn values_must_be_there() {
        assert!(config_text(&[(1, "server: a-key:".to_owned())]).is_err());
        assert!(config_text(&[(1, "word".to_owned())]).is_err());
    }
}
