//! `${...}` in scenario text: time, pending timers, calendar text, bounds and arithmetic.
//!
//! Arithmetic goes strictly from left to right, in floating point, as the format says.

use std::collections::BTreeMap;

/// What expressions may name.
#[derive(Clone, Debug, Default)]
pub struct Macros {
    /// Variables by name, their values as text.
    pub variables: BTreeMap<String, String>,
    /// The clock in whole seconds.
    pub time: u64,
    /// Whole seconds until the earliest pending timer, 0 when there is none.
    pub timeout: u64,
}

impl Macros {
    /// The text with every `${...}` replaced, innermost first.
    ///
    /// # Errors
    /// When a variable is undefined, a brace is missing, or a value is out of its range.
    pub fn expand(&self, text: &str) -> Result<String, String> {
        let mut text = text.to_owned();
        while let Some(start) = text.rfind("${") {
            let (before, rest) = text.split_at(start);
            let inner = rest.get(2..).unwrap_or_default();
            let Some((inner, after)) = inner.split_once('}') else {
                return Err(format!("a closing brace is missing in {text}"));
            };
            text = format!("{before}{}{after}", self.evaluate(inner.trim())?);
        }
        Ok(text)
    }

    fn evaluate(&self, inner: &str) -> Result<String, String> {
        let inner = self.substitute(inner)?;
        let (word, arguments) = inner.split_once(' ').unwrap_or((&inner, ""));
        match word {
            "time" => Ok(self.time.to_string()),
            "timeout" => Ok(self.timeout.to_string()),
            "ctime" => {
                let seconds = number(&arithmetic(arguments.trim()))?;
                Ok(calendar(seconds as u64))
            }
            "range" => {
                let bounds: Vec<&str> = arguments.split_ascii_whitespace().collect();
                let [low, value, high] = bounds.as_slice() else {
                    return Err(format!("range needs three numbers: {inner}"));
                };
                if (number(low)?..=number(high)?).contains(&number(value)?) {
                    Ok((*value).to_owned())
                } else {
                    Err(format!("{value} is not within {low} to {high}"))
                }
            }
            _ => Ok(arithmetic(&inner)),
        }
    }

    fn substitute(&self, text: &str) -> Result<String, String> {
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            out.push_str(before);
            let end = after
                .find(|character: char| !character.is_alphanumeric() && character != '_')
                .unwrap_or(after.len());
            let (name, tail) = after.split_at(end);
            match self.variables.get(name) {
                Some(value) => out.push_str(value),
                None => return Err(format!("the variable {name} is not defined")),
            }
            rest = tail;
        }
        out.push_str(rest);
        Ok(out)
    }
}

fn number(text: &str) -> Result<f64, String> {
    text.trim()
        .parse()
        .map_err(|_| format!("{text} is not a number"))
}

/// The value of numbers joined by `+ - * /`, or the text itself when it is something else.
fn arithmetic(text: &str) -> String {
    value(text).map_or_else(|| text.to_owned(), significant)
}

fn value(text: &str) -> Option<f64> {
    let mut total = None;
    let mut operator = '+';
    let mut rest = text.trim();
    loop {
        let end = rest
            .char_indices()
            .find(|(at, character)| *at > 0 && "+-*/ ".contains(*character))
            .map_or(rest.len(), |(at, _)| at);
        let (word, tail) = rest.split_at(end);
        let operand: f64 = word.parse().ok()?;
        total = Some(match (total, operator) {
            (None, _) => operand,
            (Some(total), '+') => total + operand,
            (Some(total), '-') => total - operand,
            (Some(total), '*') => total * operand,
            (Some(total), _) => total / operand,
        });
        let tail = tail.trim_start();
        let Some(next) = tail.chars().next() else {
            return total;
        };
        operator = Some(next).filter(|next| "+-*/".contains(*next))?;
        rest = tail.get(1..)?.trim_start();
    }
}

/// A number with up to twelve significant digits.
fn significant(value: f64) -> String {
    let whole = value.trunc().abs();
    let digits = if whole < 1.0 {
        1
    } else {
        whole.log10().floor() as usize + 1
    };
    let text = format!("{value:.*}", 12usize.saturating_sub(digits));
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// A point in time as `Mon Aug 24 07:46:40 2009`, UTC.
#[must_use]
pub fn calendar(seconds: u64) -> String {
    const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let (days, time) = (seconds / 86_400, seconds % 86_400);
    // Counted from 0000-03-01 in eras of 400 years, each year beginning in March.
    let since_era = (days + 719_468) % 146_097;
    let era = (days + 719_468) / 146_097;
    let year_of_era =
        (since_era - since_era / 1460 + since_era / 36_524 - since_era / 146_096) / 365;
    let day_of_year = since_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12;
    let year = era * 400 + year_of_era + u64::from(month < 2);
    let name =
        |names: &[&'static str], index: u64| names.get(index as usize).copied().unwrap_or_default();
    format!(
        "{} {} {day:>2} {:02}:{:02}:{:02} {year}",
        name(&WEEKDAYS, days % 7),
        name(&MONTHS, month),
        time / 3600,
        time / 60 % 60,
        time % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions() {
        let mut macros = Macros {
            time: 100,
            timeout: 5000,
            ..Macros::default()
        };
        macros.variables.insert("t0".to_owned(), "7".to_owned());
        for (text, expected) in [
            ("${2+3*4}", "20"),
            ("a ${ $t0 + ${2 * 3} } b", "a 13 b"),
            ("${range 4800 ${timeout} 5400}", "5000"),
            ("${time}", "100"),
            ("${1/3}", "0.33333333333"),
            ("${30*24*3600}", "2592000"),
            ("${1258962400 + 7200}", "1258969600"),
            ("${5-7}", "-2"),
            ("${ctime 1251100000}", "Mon Aug 24 07:46:40 2009"),
            ("${words stay}", "words stay"),
        ] {
            assert_eq!(macros.expand(text).unwrap(), expected, "{text}");
        }
        assert!(macros.expand("${$t1}").is_err());
        assert!(macros.expand("${range 1 7 6}").is_err());
        assert!(macros.expand("${time").is_err());
    }

    #[test]
    fn dates() {
        assert_eq!(calendar(0), "Thu Jan  1 00:00:00 1970");
        assert_eq!(calendar(951_827_696), "Tue Feb 29 12:34:56 2000");
    }
}
