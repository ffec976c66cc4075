//! Faults put back on purpose, to show that the checks find them.
//!
//! Owns the list: each is an ordering that broke a DoH resolver (O1 to O16 of `docs/src/lessons.md`),
//! or a rule of this design left out. Without the feature `mutants` none can be switched on.

macro_rules! mutants {
    ($($(#[doc = $doc:literal])* $variant:ident = $name:literal,)*) => {
        /// One fault.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Mutant {
            $($(#[doc = $doc])* $variant,)*
        }

        impl Mutant {
            /// Every fault.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name on the command line of the simulator.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

mutants! {
    /// O1: a postponed drop frees the waiter and forgets the stream that points to it.
    DropForgetsStream = "o1-drop-forgets-stream",
    /// O2: the wrong stream of a connection is unlinked.
    WrongStreamUnlinked = "o2-wrong-stream-unlinked",
    /// O3: a jostled state goes and its waiters stay.
    JostleForgetsWaiters = "o3-jostle-forgets-waiters",
    /// O4: dropping one waiter closes every stream of its connection.
    DropClosesConnection = "o4-drop-closes-connection",
    /// O5: a reset removes all waiters of its connection from the state.
    ResetRemovesSiblings = "o5-reset-removes-siblings",
    /// O6: a waiter is answered again by the list that is being walked.
    AnsweredTwice = "o6-answered-twice",
    /// O7: a waiter that is too old is dropped and its stream never told.
    OldWaiterDropped = "o7-old-waiter-dropped",
    /// O8: a verdict to give no answer tells nobody.
    DenialTellsNobody = "o8-denial-tells-nobody",
    /// O9: a refused admission leaves its stream behind.
    RefusalLeavesStream = "o9-refusal-leaves-stream",
    /// O10: refusing a new stream when the mesh is full closes its siblings.
    FullClosesSiblings = "o10-full-closes-siblings",
    /// O11: one refusal postpones all later work for ever.
    PostponedForEver = "o11-postponed-for-ever",
    /// O12: waiters that got a stale answer stay counted.
    StaleAnswerMiscounted = "o12-stale-answer-miscounted",
    /// O13: a client over its limit loses all its streams.
    LimitClosesSiblings = "o13-limit-closes-siblings",
    /// O14: a connection that never asked leaves its record behind.
    ConnectionLeaks = "o14-connection-leaks",
    /// O15: a leaving stream is looked for by walking the whole list.
    LinearUnlink = "o15-linear-unlink",
    /// O16: a connection that ends leaves the answers that it never took.
    UnwrittenAnswerLeaks = "o16-unwritten-answer-leaks",
    /// A3: the second to wait for a state is in no list.
    WaiterUnlisted = "waiter-unlisted",
    /// B4: the answer is made from the query of another waiter.
    AnswerCrossesOver = "answer-crosses-over",
    /// B7: what comes for a fetch that is gone counts as its reply.
    LateReplyCounts = "late-reply-counts",
    /// C5: a fetch that ended can end again.
    FetchEndsTwice = "fetch-ends-twice",
    /// B8: a permit is given back twice.
    PermitReleasedTwice = "permit-released-twice",
    /// B9: a client over its limit is refused in silence.
    RefusalIsSilent = "refusal-is-silent",
    /// C4: a state that ends leaves its deadline armed.
    DeadlineStaysArmed = "deadline-stays-armed",
    /// C5: a state that ends leaves its fetches open.
    FetchesStayOpen = "fetches-stay-open",
    /// A4: dependencies may form a circle.
    NoCycleCheck = "no-cycle-check",
    /// A4: dependencies may be of any depth.
    NoDepthCheck = "no-depth-check",
    /// E3: a state may have any number of waiters.
    WaitersUnbounded = "waiters-unbounded",
    /// E3: a state may need any number of others at once.
    SubsUnbounded = "subs-unbounded",
    /// E3: states with waiters may take any room.
    RoomUnbounded = "room-unbounded",
    /// E3: any number of states may go on for nobody.
    OrphansUnbounded = "orphans-unbounded",
    /// D5: a state may run any number of times.
    ActivationsUnbounded = "activations-unbounded",
    /// F1: an orphan is charged to nobody.
    OrphanIsFree = "orphan-is-free",
    /// F3: each new waiter makes its state young again (CVE-2026-42534).
    AgeIsRefreshed = "age-is-refreshed",
    /// F4: a sub-state gets a new budget (CVE-2026-50045).
    BudgetRenewed = "budget-renewed",
    /// F5: no state ever has to make room: all run to their end.
    ForeverUnbounded = "forever-unbounded",
    /// F5: the newest state makes room instead of the oldest.
    NewestIsJostled = "newest-is-jostled",
    /// F5: a state makes room whatever its age.
    YoungIsJostled = "young-is-jostled",
    /// D1: one step answers any number of waiters.
    SettleUnbounded = "settle-unbounded",
    /// D6: work that is left over is announced to nobody.
    WakeUpLost = "wake-up-lost",
    /// F6: of the states that can run, the last comes first.
    RunOutOfTurn = "run-out-of-turn",
    /// a state that ends does not tell those above it.
    SuperNotTold = "super-not-told",
    /// new clients join states of replaced settings.
    EpochIgnored = "epoch-ignored",
    /// B1: keys that were looked at are told to nobody.
    ProbeUntold = "probe-untold",
    /// B1: keys that were looked at are told twice.
    ProbeToldTwice = "probe-told-twice",
    /// M2: a state that nobody needs any more runs on unmarked.
    AbandonedRunsOn = "abandoned-runs-on",
}

impl core::str::FromStr for Mutant {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .iter()
            .copied()
            .find(|mutant| mutant.name() == name)
            .ok_or(())
    }
}
