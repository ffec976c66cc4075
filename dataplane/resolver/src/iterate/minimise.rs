//! How much of a name a server is told (RFC 9156).
//!
//! Owns which name is asked next below a zone. Never decides what a reply means.

use crate::name::Name;
use crate::question::Question;
use crate::rrset::RecordType;

/// RFC 9156, 2.3: MAX_MINIMISE_COUNT, so that a name of many labels cannot cost as many queries.
const STEPS_MAX: usize = 10;
/// RFC 9156, 2.3: MINIMISE_ONE_LAB, the steps that add a single label.
const SINGLE_STEPS: usize = 4;
/// Timeouts of minimised queries after which the full name is asked.
const TIMEOUTS_MAX: u8 = 3;

/// The state of minimisation for one name.
#[derive(Clone, Debug)]
pub struct Minimiser {
    enabled: bool,
    /// Labels that servers have been asked, counted from the root.
    asked: usize,
    steps: usize,
    timeouts: u8,
    /// The type that minimised queries ask for.
    record_type: RecordType,
}

impl Minimiser {
    /// For a new name.
    #[must_use]
    pub const fn new(enabled: bool) -> Self {
        Self {
            enabled,
            asked: 0,
            steps: 0,
            timeouts: 0,
            // RFC 9156, 2.1: A is the type least likely to be mistreated.
            record_type: RecordType::A,
        }
    }

    /// Whether the full name is all that is asked from now on.
    #[must_use]
    pub const fn is_off(&self) -> bool {
        !self.enabled
    }

    /// From now on the full name is asked.
    pub const fn give_up(&mut self) {
        self.enabled = false;
    }

    /// A server failed a minimised query: NS is asked for next, the other type that RFC 9156, 2.1 names, and
    /// after that the full name.
    pub fn failed(&mut self) {
        if self.record_type == RecordType::A {
            self.record_type = RecordType::NS;
        } else {
            self.give_up();
        }
    }

    /// A minimised query got no reply.
    pub const fn timed_out(&mut self) {
        self.timeouts = self.timeouts.saturating_add(1);
        if self.timeouts >= TIMEOUTS_MAX {
            self.give_up();
        }
    }

    /// What to ask a server of `zone` on the way to `question`.
    #[must_use]
    pub fn question(&self, question: &Question, zone: &Name) -> Question {
        let labels = question.name.label_count();
        let known = zone.label_count().max(self.asked).min(labels);
        if !self.enabled || self.steps >= STEPS_MAX {
            return question.clone();
        }
        let left = labels - known;
        let add = if self.steps < SINGLE_STEPS {
            1
        } else {
            left.div_ceil((STEPS_MAX - self.steps).max(1)).max(1)
        };
        if add >= left {
            return question.clone();
        }
        Question {
            name: question.name.suffix(known + add),
            record_type: self.record_type,
            class: question.class,
        }
    }

    /// A server answered `asked` without leading further down.
    pub fn advance(&mut self, asked: &Name) {
        self.asked = asked.label_count();
        self.steps += 1;
        self.timeouts = 0;
    }

    /// A referral led down to `zone`.
    pub fn descend(&mut self, zone: &Name) {
        self.asked = self.asked.max(zone.label_count());
        self.steps += 1;
        self.timeouts = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::ResponseCode;
    use crate::iterate::internet::internet;
    use crate::rrset::Class;
    use crate::scenario::{answers, denies};
    use crate::settings::QnameMinimisation;

    fn question(name: &str) -> Question {
        Question {
            name: Name::from_text(name).unwrap(),
            record_type: RecordType::MX,
            class: Class::IN,
        }
    }

    #[test]
    fn one_label_at_a_time_and_the_type_last() {
        let full = question("a.b.example");
        let mut minimiser = Minimiser::new(true);
        let first = minimiser.question(&full, &Name::root());
        assert_eq!(
            (first.name.to_string(), first.record_type),
            ("example.".into(), RecordType::A)
        );
        minimiser.descend(&first.name);
        let second = minimiser.question(&full, &first.name);
        assert_eq!(second.name.to_string(), "b.example.");
        minimiser.advance(&second.name);
        assert_eq!(minimiser.question(&full, &first.name), full);
    }

    #[test]
    fn a_long_name_costs_a_bounded_number_of_queries() {
        let full = question(&"x.".repeat(100));
        let mut minimiser = Minimiser::new(true);
        let mut steps = 0;
        loop {
            let next = minimiser.question(&full, &Name::root());
            steps += 1;
            if next == full {
                break;
            }
            minimiser.advance(&next.name);
        }
        assert!(steps <= STEPS_MAX + 1, "{steps}");
    }

    #[test]
    fn failures_change_the_type_first() {
        let full = question("a.b.example");
        let mut minimiser = Minimiser::new(true);
        minimiser.failed();
        let next = minimiser.question(&full, &Name::root());
        assert_eq!(next.record_type, RecordType::NS);
        minimiser.failed();
        assert_eq!(minimiser.question(&full, &Name::root()), full);
    }

    #[test]
    fn timeouts_end_it() {
        let full = question("a.b.example");
        let mut minimiser = Minimiser::new(true);
        for _ in 0..TIMEOUTS_MAX {
            assert_ne!(minimiser.question(&full, &Name::root()), full);
            minimiser.timed_out();
        }
        assert_eq!(minimiser.question(&full, &Name::root()), full);
    }

    #[test]
    fn denied_empty_non_terminals_do_not_hide_names() {
        let mut world = internet();
        world.server("10.0.0.3", |plan| match plan.question.name.label_count() {
            3 => denies(ResponseCode::NXDOMAIN, "example.com 900 SOA 60"),
            _ => answers(&["www.empty.example.com 300 A 192.0.2.4"]),
        });
        let answer = world.resolve("www.empty.example.com", RecordType::A);
        assert_eq!(answer.rcode, ResponseCode::NOERROR);
        world.settings.resolution.qname_minimisation = QnameMinimisation::Strict;
        let mut fresh = internet();
        fresh.settings.resolution.qname_minimisation = QnameMinimisation::Strict;
        fresh.server("10.0.0.3", |_| {
            denies(ResponseCode::NXDOMAIN, "example.com 900 SOA 60")
        });
        let answer = fresh.resolve("www.empty.example.com", RecordType::A);
        assert_eq!(answer.rcode, ResponseCode::NXDOMAIN);
        assert_eq!(
            fresh.asked().last().unwrap(),
            "10.0.0.3 empty.example.com. A"
        );
    }
}
