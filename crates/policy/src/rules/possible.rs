//! What a condition could come to when arguments, findings and sources are not known yet.
//!
//! Three answers are possible for a condition: true, false and failure. Each expression is given the set of
//! those it could have. The sets never miss one that a real call could have, so a tool that some call could
//! be permitted for is always listed. They may hold one that no call has, where two conditions about the
//! same argument exclude each other; what would be listed is then looked at [once more](super::contradict).

use super::{
    RuleSet,
    contradict::{self, Together},
    datum::Datum,
    decide::{self, Caller, Verdict},
    entity::{Entity, Target},
    evaluate::{self, Failure},
    expr::{Expr, Unary},
    remember::Found,
    rule::{Effect, Rule},
    slices::Shelf,
    view::{Seen, View},
    world::{Call, Known, World},
};
use crate::{action::Action, facts::Facts, resource::Resource, subject::Subject};

/// Whether somebody may learn that something exists.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Discovery {
    /// No call to it could be permitted.
    #[default]
    Hidden,
    /// Some call to it could be permitted, perhaps after approval or with a further scope.
    Listed,
}

impl RuleSet {
    /// Whether some call could be permitted: any arguments, with any findings in them, from any source.
    ///
    /// The rest of `facts` counts: purpose, labels so far, time and connection. `action` is what would be
    /// done with the resource; [`Action::Discover`] stands for whatever it is there for: to invoke a tool, to
    /// get a prompt, to read a resource.
    #[must_use]
    pub fn could_permit(
        &self,
        subject: &Subject,
        action: Action,
        resource: &Resource,
        facts: &Facts<'_>,
    ) -> Discovery {
        self.could_permit_each(subject, action, [resource], facts)
            .pop()
            .unwrap_or_default()
    }

    /// The same for many resources, in their order, for what a list costs.
    #[must_use]
    pub fn could_permit_each<'r>(
        &self,
        subject: &Subject,
        action: Action,
        resources: impl IntoIterator<Item = &'r Resource>,
        facts: &Facts<'_>,
    ) -> Vec<Discovery> {
        let resources = resources.into_iter();
        let targets: Vec<(Action, Target<'r>)> = resources
            .map(|resource| (used_by(action, resource), Target::of(resource)))
            .collect();
        let callers = self.callers(subject);
        let mut known = Known::nothing(self.numbered);
        let mut found = Vec::with_capacity(targets.len());
        let mut anywhere = Anywhere::of(Action::Discover, &callers);
        for (action, target) in &targets {
            let call = self.call(subject, *action, target, facts);
            known.resource = Found::nothing(self.numbered.resource);
            if anywhere.action != *action {
                anywhere = Anywhere::of(*action, &callers);
            }
            found.push(self.discovery(call, &callers, &known, &mut anywhere));
        }
        found
    }

    fn discovery<'a>(
        &'a self,
        call: Call<'a>,
        callers: &[Caller<'a>],
        known: &Known<'a>,
        anywhere: &mut Anywhere,
    ) -> Discovery {
        let mut says = Says::Nothing;
        for (caller, (strict, _)) in callers.iter().zip(&mut anywhere.said) {
            let world = caller.world(call, known);
            let asked = |anywhere| {
                let rules = self.asked_by_lists(Shelf::Strict { anywhere }, caller, &world);
                together(rules, &world)
            };
            says = says.and(*strict.get_or_insert_with(|| asked(true)));
            says = says.and(asked(false));
            let world = caller.world(call.discovery(), known);
            let mut hiding = self.hiding(caller, call.action, call.target);
            let hides = hiding.any(|rule| !possible(rule, &world).contains(Outcomes::FALSE));
            if hides || says == Says::No {
                return Discovery::Hidden;
            }
        }
        if says == Says::Perhaps {
            return self.all_together(call, callers, known);
        }
        for (caller, (_, open)) in callers.iter().zip(&mut anywhere.said) {
            let world = caller.world(call, known);
            let permits = |anywhere| {
                let mut rules = self.asked_by_lists(Shelf::Open { anywhere }, caller, &world);
                rules.any(|rule| possible(rule, &world).contains(Outcomes::TRUE))
            };
            if *open.get_or_insert_with(|| permits(true)) || permits(false) {
                return self.all_together(call, callers, known);
            }
        }
        Discovery::Hidden
    }

    /// What each rule by itself would have listed: whether it is left where they look at the same things.
    fn all_together<'a>(&'a self, call: Call<'a>, callers: &[Caller<'a>], known: &Known<'a>) -> Discovery {
        let mut asked = Vec::new();
        for caller in callers {
            let world = caller.world(call, known);
            let Some(rules) = self.some_concerning(caller, &world, contradict::RULES_MAX) else {
                return Discovery::Listed;
            };
            asked.push((world, rules));
        }
        let places = asked
            .iter()
            .flat_map(|(_, rules)| rules.iter().map(|(at, _)| *at));
        let looks = places.filter_map(|at| self.contested.get(at)).flatten();
        let mut looks: Vec<u32> = looks.copied().collect();
        looks.sort_unstable();
        if looks.windows(2).all(|two| two.first() != two.last()) {
            return Discovery::Listed;
        }
        // Mostly the call as it is known, without arguments, shows it.
        let plain = |(world, rules): &(World<'_, 'a>, Vec<(usize, &'a Rule)>)| {
            let said = rules.iter().map(|(_, rule)| {
                let could = match decide::verdict(rule, world) {
                    Verdict::Silent => Outcomes::FALSE,
                    Verdict::Speaks => Outcomes::TRUE,
                    Verdict::Fails(_) => Outcomes::FAILURE,
                };
                (rule.effect, rule.obligations.is_empty(), could)
            });
            Says::all(said)
        };
        if asked.iter().map(plain).fold(Says::Nothing, Says::and) == Says::Perhaps {
            return Discovery::Listed;
        }
        let mut together = Together::default();
        for (caller, (world, rules)) in asked.iter().enumerate() {
            for (_, rule) in rules {
                together.add(rule, world, caller);
            }
        }
        if together.could_permit() {
            Discovery::Listed
        } else {
            Discovery::Hidden
        }
    }
}

/// What rules that are the same for every resource say about one action, of each caller; asked once for a list.
struct Anywhere {
    action: Action,
    said: Vec<(Option<Says>, Option<bool>)>,
}

impl Anywhere {
    fn of(action: Action, callers: &[Caller<'_>]) -> Self {
        Self {
            action,
            said: callers.iter().map(|_| (None, None)).collect(),
        }
    }
}

/// What some rules say about all calls there could be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Says {
    /// None of them is permitted.
    No,
    Nothing,
    /// One could be permitted.
    Perhaps,
}

impl Says {
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::No, _) | (_, Self::No) => Self::No,
            (Self::Perhaps, _) | (_, Self::Perhaps) => Self::Perhaps,
            (Self::Nothing, Self::Nothing) => Self::Nothing,
        }
    }

    /// What rules say: the effect of each, whether it demands nothing, and what it could come to.
    pub(super) fn all(rules: impl Iterator<Item = (Effect, bool, Outcomes)>) -> Self {
        let mut says = Self::Nothing;
        for (effect, demands_nothing, could) in rules {
            let harmless = match effect {
                Effect::Forbid if demands_nothing => could.contains(Outcomes::FALSE),
                Effect::Forbid | Effect::Permit => could != Outcomes::FAILURE,
            };
            if !harmless {
                return Self::No;
            }
            if effect == Effect::Permit && could.contains(Outcomes::TRUE) {
                says = Self::Perhaps;
            }
        }
        says
    }
}

/// What rules say together.
fn together<'a>(rules: impl Iterator<Item = &'a Rule>, world: &World<'_, 'a>) -> Says {
    Says::all(rules.map(|rule| (rule.effect, rule.obligations.is_empty(), possible(rule, world))))
}

#[cfg(test)]
impl RuleSet {
    /// The same by asking every rule, for comparison.
    pub(super) fn could_permit_plainly(
        &self,
        subject: &Subject,
        action: Action,
        resource: &Resource,
        facts: &Facts<'_>,
    ) -> Discovery {
        let (action, target) = (used_by(action, resource), Target::of(resource));
        let call = self.call(subject, action, &target, facts);
        let known = Known::nothing(self.numbered);
        let mut says = Says::Nothing;
        for caller in self.callers(subject) {
            let world = caller.world(call, &known);
            says = says.and(together(self.asked_of(&caller), &world));
            let world = caller.world(call.discovery(), &known);
            let mut hiding = self
                .asked_of(&caller)
                .filter(|rule| rule.hides() && !rule.actions.admit(action));
            if hiding.any(|rule| !possible(rule, &world).contains(Outcomes::FALSE)) {
                says = Says::No;
            }
        }
        let mut together = Together::default();
        let callers = self.callers(subject);
        for (at, caller) in callers.iter().enumerate() {
            let world = caller.world(call, &known);
            self.asked_of(caller)
                .for_each(|rule| together.add(rule, &world, at));
        }
        if says == Says::Perhaps && together.could_permit() {
            Discovery::Listed
        } else {
            Discovery::Hidden
        }
    }
}

/// What is done with a resource that is worth discovering.
fn used_by(action: Action, resource: &Resource) -> Action {
    match (action, resource) {
        (Action::Discover, Resource::Gateway | Resource::Server(_)) => Action::Connect,
        (Action::Discover, Resource::Model(_)) => Action::Generate,
        (Action::Discover, Resource::Prompt(_)) => Action::Get,
        (Action::Discover, Resource::Resource { .. }) => Action::Read,
        (Action::Discover, Resource::Tool(_)) => Action::Invoke,
        (action, _) => action,
    }
}

/// A set of outcomes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Outcomes(u8);

impl Outcomes {
    const NONE: Self = Self(0);
    pub(super) const TRUE: Self = Self(1);
    pub(super) const FALSE: Self = Self(2);
    pub(super) const FAILURE: Self = Self(4);
    const EVERY: Self = Self(7);

    pub(super) fn contains(self, outcome: Self) -> bool {
        self.0 & outcome.0 == outcome.0
    }

    pub(super) fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether there is but one outcome.
    pub(super) fn is_one(self) -> bool {
        self.0.is_power_of_two()
    }

    /// What `if` comes to.
    pub(super) fn branch(
        condition: Self,
        then: impl FnOnce() -> Self,
        otherwise: impl FnOnce() -> Self,
    ) -> Self {
        let mut all = condition.only(Self::FAILURE);
        if condition.contains(Self::TRUE) {
            all = all.or(then());
        }
        if condition.contains(Self::FALSE) {
            all = all.or(otherwise());
        }
        all
    }

    fn without(self, outcome: Self) -> Self {
        Self(self.0 & !outcome.0)
    }

    fn only(self, outcome: Self) -> Self {
        Self(self.0 & outcome.0)
    }

    /// All parts in order, as `&&` would have it.
    pub(super) fn all(parts: impl Iterator<Item = Self>) -> Self {
        let mut so_far = Self::TRUE;
        for part in parts {
            if !so_far.contains(Self::TRUE) {
                break;
            }
            so_far = so_far.without(Self::TRUE).or(part);
        }
        so_far
    }

    pub(super) fn negated(self) -> Self {
        let swapped = |from: Self, to: Self| if self.contains(from) { to } else { Self::NONE };
        self.only(Self::FAILURE)
            .or(swapped(Self::TRUE, Self::FALSE))
            .or(swapped(Self::FALSE, Self::TRUE))
    }
}

/// What a rule could come to: true where it would match.
pub(super) fn possible<'a>(rule: &'a Rule, world: &World<'_, 'a>) -> Outcomes {
    if !concerns(rule, world) {
        return Outcomes::FALSE;
    }
    Outcomes::all(
        rule.conditions
            .iter()
            .map(|condition| outcomes(&condition.expr, world)),
    )
}

/// Whether the head of a rule admits the call.
fn concerns<'a>(rule: &'a Rule, world: &World<'_, 'a>) -> bool {
    let principal = Entity::Party(world.principal);
    let resource = Entity::Target(world.call.target);
    rule.actions.admit(world.call.action)
        && rule.principal.admits(&principal, world)
        && rule.resource.admits(&resource, world)
}

/// The value of an expression, if it is the same for every call.
pub(super) fn possible_value<'a>(expr: &'a Expr, world: &World<'_, 'a>) -> Option<Datum<'a>> {
    if let Maybe::Known(seen) = maybe(expr, world).whole() {
        return world.whole(seen).ok();
    }
    None
}

/// What an expression could be.
enum Maybe<'a> {
    /// Anything.
    Anything,
    /// It fails, whatever the call.
    Fails,
    /// This value, whatever the call.
    Known(Seen<'a>),
    /// A truth value or a failure, one of these.
    Truth(Outcomes),
}

impl<'a> Maybe<'a> {
    fn of(outcome: Result<Seen<'a>, Failure>) -> Self {
        outcome.map_or(Self::Fails, Self::Known)
    }

    fn is_context(&self) -> bool {
        matches!(self, Self::Known(Seen::View(View::Context)))
    }

    /// What becomes of an operation on this value.
    fn then(self, operation: impl FnOnce(Seen<'a>) -> Result<Seen<'a>, Failure>) -> Self {
        match self {
            Self::Known(seen) => Self::of(operation(seen)),
            Self::Fails => Self::Fails,
            Self::Anything | Self::Truth(_) => Self::Anything,
        }
    }

    /// This value where it is used whole. The whole of the context is never known before the call.
    fn whole(self) -> Self {
        let truth = |truth| Self::Known(Seen::Datum(Datum::Bool(truth)));
        match self {
            Self::Known(Seen::View(View::Context)) => Self::Anything,
            Self::Truth(Outcomes::TRUE) => truth(true),
            Self::Truth(Outcomes::FALSE) => truth(false),
            Self::Truth(Outcomes::FAILURE) => Self::Fails,
            Self::Anything | Self::Fails | Self::Known(_) | Self::Truth(_) => self,
        }
    }
}

/// What an expression could be where a truth value is needed.
pub(super) fn outcomes<'a>(expr: &'a Expr, world: &World<'_, 'a>) -> Outcomes {
    if let Expr::If(parts) = expr {
        return Outcomes::branch(
            outcomes(&parts.0, world),
            || outcomes(&parts.1, world),
            || outcomes(&parts.2, world),
        );
    }
    match maybe(expr, world) {
        Maybe::Anything => Outcomes::EVERY,
        Maybe::Fails => Outcomes::FAILURE,
        Maybe::Known(seen) => match evaluate::as_truth(&seen) {
            Ok(true) => Outcomes::TRUE,
            Ok(false) => Outcomes::FALSE,
            Err(_) => Outcomes::FAILURE,
        },
        Maybe::Truth(outcomes) => outcomes,
    }
}

fn maybe<'a>(expr: &'a Expr, world: &World<'_, 'a>) -> Maybe<'a> {
    match expr {
        Expr::And(all) => Maybe::Truth(Outcomes::all(all.iter().map(|part| outcomes(part, world)))),
        // `a || b` is `!(!a && !b)`, failures included.
        Expr::Or(any) => {
            let parts = any.iter().map(|part| outcomes(part, world).negated());
            Maybe::Truth(Outcomes::all(parts).negated())
        }
        Expr::Unary(Unary::Not, of) => Maybe::Truth(outcomes(of, world).negated()),
        Expr::If(parts) => match outcomes(&parts.0, world) {
            Outcomes::TRUE => maybe(&parts.1, world),
            Outcomes::FALSE => maybe(&parts.2, world),
            Outcomes::FAILURE => Maybe::Fails,
            Outcomes(_) => Maybe::Anything,
        },
        Expr::Get(of, name) => {
            let of = maybe(of, world);
            if of.is_context() && world.call.unseen.holds(name) {
                return Maybe::Anything;
            }
            of.then(|of| evaluate::get(of, name, world))
        }
        Expr::Has(of, path) => {
            let of = maybe(of, world);
            let unknown = path.first().is_some_and(|name| world.call.unseen.holds(name));
            if of.is_context() && unknown && path.len() > 1 {
                return Maybe::Anything;
            }
            of.then(|of| evaluate::has(of, path, world))
        }
        Expr::Is(of, kind) => maybe(of, world).whole().then(|of| evaluate::is(&of, kind)),
        Expr::Like(of, pattern) => maybe(of, world).whole().then(|of| evaluate::like(&of, pattern)),
        Expr::Unary(operator, of) => {
            let of = maybe(of, world).whole();
            of.then(|of| evaluate::unary(*operator, of, world))
        }
        Expr::Binary(operator, sides) => {
            let known = !is_unknown_path(&sides.0, world) && !is_unknown_path(&sides.1, world);
            let glance = || evaluate::at_a_glance(*operator, &sides.0, &sides.1, world);
            if let Some(truth) = known.then(glance).flatten() {
                return Maybe::Known(Seen::Datum(Datum::Bool(truth)));
            }
            match (maybe(&sides.0, world).whole(), maybe(&sides.1, world).whole()) {
                (Maybe::Fails, _) | (_, Maybe::Fails) => Maybe::Fails,
                (Maybe::Known(left), right) => {
                    right.then(|right| evaluate::binary(*operator, left, right, world))
                }
                (Maybe::Anything | Maybe::Truth(_), _) => Maybe::Anything,
            }
        }
        Expr::Remembered(_) if is_unknown_path(expr, world) => Maybe::Anything,
        Expr::Record(fields) => literal(expr, fields.iter().map(|(_, field)| field), world),
        Expr::Set(elements) => literal(expr, elements.iter(), world),
        Expr::Constant(_) | Expr::Remembered(_) | Expr::Variable(_) => {
            Maybe::of(evaluate::evaluate(expr, world))
        }
    }
}

/// A set or record literal is known when all its parts are, and fails when one is bound to.
fn literal<'a>(whole: &'a Expr, parts: impl Iterator<Item = &'a Expr>, world: &World<'_, 'a>) -> Maybe<'a> {
    let mut known = true;
    for part in parts {
        match maybe(part, world).whole() {
            Maybe::Fails => return Maybe::Fails,
            Maybe::Known(_) => {}
            Maybe::Anything | Maybe::Truth(_) => known = false,
        }
    }
    if known {
        Maybe::of(evaluate::evaluate(whole, world))
    } else {
        Maybe::Anything
    }
}

/// Whether it is a remembered path into what nobody has seen yet.
fn is_unknown_path(expr: &Expr, world: &World<'_, '_>) -> bool {
    expr.remembered_of_context()
        .is_some_and(|name| world.call.unseen.holds(name))
}
