//! Whether conditions that look at the same argument can hold together.
//!
//! [`possible`](super::possible) takes each condition by itself. Where several look at one thing, what each could be
//! is more than what all could be at once: `permit ... when { context.args.x == 1 }` and `forbid ... unless {
//! context.args.x == 2 }` leave no call. So the things that are looked at more than once are gone through: every value
//! they are compared with, what lies between two of them, none of these, and nothing there. For each combination the
//! rules are asked again; if none is left in which something is permitted, no call is.
//!
//! INVARIANT (nothing hidden): what is gone through stands for all calls there could be, and whatever is not understood
//! could be anything. So what some call could be permitted for is never hidden, `tests/differential.rs`; what may be
//! listed all the same is said in `docs/reference/policy-language.md`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
};

use super::{
    datum::Datum,
    expr::{Binary, Expr, Order, Unary, Variable},
    pattern::Pattern,
    possible::{Outcomes, Says, outcomes, possible, possible_value},
    rule::{Effect, Rule},
    world::{Unseen, World},
};

/// Most rules of one call that are looked at together.
pub(super) const RULES_MAX: usize = 64;
/// Most combinations that are gone through for one call.
const COMBINATIONS_MAX: u32 = 512;
/// Most values one thing is compared with.
const VALUES_MAX: usize = 32;
/// Most patterns one text is held against.
const PATTERNS_MAX: usize = 4;

/// A condition as far as it matters which of its parts look at the same thing.
enum Formula<'a> {
    All(Vec<Formula<'a>>),
    Any(Vec<Formula<'a>>),
    /// Known, or about something nothing else is about.
    Could(Outcomes),
    If(Box<(Formula<'a>, Formula<'a>, Formula<'a>)>),
    Not(Box<Formula<'a>>),
    /// A test of one thing, and what it could come to by itself.
    Test(usize, Test<'a>, Outcomes),
}

/// What is asked of a thing.
enum Test<'a> {
    Among(Vec<Datum<'a>>),
    Compared(Order, Datum<'a>),
    /// Whether it is there.
    Here,
    Like(&'a Pattern),
    /// Whether it is true; of an expression that is not looked into, all there is to ask.
    True,
}

/// Something that conditions look at.
struct Thing<'a> {
    uses: usize,
    /// Whether it can be missing.
    missing: bool,
    values: BTreeSet<Datum<'a>>,
    /// Whether integers, or decimals, are compared by size.
    by_size: bool,
    patterns: Vec<&'a Pattern>,
    /// Whether it is an expression that is not looked into, and not a path.
    opaque: bool,
}

/// What a thing could be.
#[derive(Clone)]
enum Guess<'a> {
    /// Between two decimals, or beyond the first or the last; counted in ten thousandths.
    Decimal(Option<i64>, Option<i64>),
    Exactly(Datum<'a>),
    /// It fails.
    Fails,
    Long(Option<i64>, Option<i64>),
    Missing,
    /// Something it is compared with nowhere; a text fits those patterns whose bits are set, and no others.
    Other(u32),
}

/// The rules of one call, taken together.
#[derive(Default)]
pub(super) struct Together<'a> {
    rules: Vec<(Effect, bool, Formula<'a>)>,
    things: Vec<Thing<'a>>,
    names: BTreeMap<String, usize>,
}

impl<'a> Together<'a> {
    /// Adds a rule as it is in the world of the caller of that number.
    pub(super) fn add(&mut self, rule: &'a Rule, world: &World<'_, 'a>, caller: usize) {
        // What never speaks and never fails does not count, whatever it looks at.
        if possible(rule, world) == Outcomes::FALSE {
            return;
        }
        let conditions = rule.conditions.iter();
        let parts = conditions.map(|condition| self.formula(&condition.expr, world, caller));
        let formula = Formula::All(parts.collect());
        self.rules
            .push((rule.effect, rule.obligations.is_empty(), formula));
    }

    /// Whether some call could be permitted. True also where that is too much to find out.
    pub(super) fn could_permit(&self) -> bool {
        let shared = self.things.iter().enumerate();
        let shared: Vec<usize> = shared
            .filter_map(|(at, thing)| thing.is_worth_it().then_some(at))
            .collect();
        let mut guesses = vec![None; self.things.len()];
        let mut left = COMBINATIONS_MAX;
        self.search(&shared, &mut guesses, &mut left)
    }

    fn search(&self, open: &[usize], guesses: &mut Vec<Option<Guess<'a>>>, left: &mut u32) -> bool {
        let Some(fewer) = left.checked_sub(1) else {
            return true;
        };
        *left = fewer;
        if self.says(guesses) != Says::Perhaps {
            return false;
        }
        let Some((first, rest)) = open.split_first() else {
            return true;
        };
        let all = self.things.get(*first).map(Thing::guesses).unwrap_or_default();
        let found = all.into_iter().any(|guess| {
            if let Some(place) = guesses.get_mut(*first) {
                *place = Some(guess);
            }
            self.search(rest, guesses, left)
        });
        if let Some(place) = guesses.get_mut(*first) {
            *place = None;
        }
        found
    }

    fn says(&self, guesses: &[Option<Guess<'a>>]) -> Says {
        let rules = self.rules.iter();
        Says::all(rules.map(|(effect, plain, formula)| {
            let could = self.outcomes(formula, guesses);
            (*effect, *plain, could)
        }))
    }

    fn outcomes(&self, formula: &Formula<'a>, guesses: &[Option<Guess<'a>>]) -> Outcomes {
        match formula {
            Formula::All(parts) => Outcomes::all(parts.iter().map(|part| self.outcomes(part, guesses))),
            Formula::Any(parts) => {
                let parts = parts.iter().map(|part| self.outcomes(part, guesses).negated());
                Outcomes::all(parts).negated()
            }
            Formula::Could(outcomes) => *outcomes,
            Formula::If(parts) => Outcomes::branch(
                self.outcomes(&parts.0, guesses),
                || self.outcomes(&parts.1, guesses),
                || self.outcomes(&parts.2, guesses),
            ),
            Formula::Not(part) => self.outcomes(part, guesses).negated(),
            Formula::Test(thing, test, alone) => {
                let guess = guesses.get(*thing).and_then(Option::as_ref);
                match (guess, self.things.get(*thing)) {
                    (Some(guess), Some(thing)) => test.of(guess, thing),
                    _ => *alone,
                }
            }
        }
    }

    fn formula(&mut self, expr: &'a Expr, world: &World<'_, 'a>, caller: usize) -> Formula<'a> {
        match expr {
            Expr::And(parts) => Formula::All(self.each(parts, world, caller)),
            Expr::Or(parts) => Formula::Any(self.each(parts, world, caller)),
            Expr::Unary(Unary::Not, of) => Formula::Not(Box::new(self.formula(of, world, caller))),
            Expr::If(parts) => Formula::If(Box::new((
                self.formula(&parts.0, world, caller),
                self.formula(&parts.1, world, caller),
                self.formula(&parts.2, world, caller),
            ))),
            Expr::Binary(Binary::NotEqual, sides) => {
                let alone = outcomes(expr, world);
                if alone.is_one() {
                    return Formula::Could(alone);
                }
                match self.equal(sides, world) {
                    Some((thing, test)) => {
                        Formula::Not(Box::new(Formula::Test(thing, test, alone.negated())))
                    }
                    None => self.opaque(expr, alone, caller),
                }
            }
            Expr::Binary(..)
            | Expr::Constant(_)
            | Expr::Get(..)
            | Expr::Has(..)
            | Expr::Is(..)
            | Expr::Like(..)
            | Expr::Record(_)
            | Expr::Remembered(_)
            | Expr::Set(_)
            | Expr::Unary(..)
            | Expr::Variable(_) => {
                let alone = outcomes(expr, world);
                if alone.is_one() {
                    return Formula::Could(alone);
                }
                match self.test(expr, world) {
                    Some((thing, test)) => Formula::Test(thing, test, alone),
                    None => self.opaque(expr, alone, caller),
                }
            }
        }
    }

    fn each(&mut self, parts: &'a [Expr], world: &World<'_, 'a>, caller: usize) -> Vec<Formula<'a>> {
        let parts = parts.iter();
        parts.map(|part| self.formula(part, world, caller)).collect()
    }

    /// A test of a path, if it is one of those that are understood.
    fn test(&mut self, expr: &'a Expr, world: &World<'_, 'a>) -> Option<(usize, Test<'a>)> {
        match expr {
            Expr::Binary(Binary::Equal, sides) => self.equal(sides, world),
            Expr::Binary(Binary::Contains, sides) => {
                let path = unseen_path(&sides.1, world.call.unseen)?;
                let Some(Datum::Set(values)) = possible_value(&sides.0, world) else {
                    return None;
                };
                let values = values.to_vec();
                let thing = self.compared(&path, values.iter().cloned())?;
                Some((thing, Test::Among(values)))
            }
            Expr::Binary(Binary::Compare(order) | Binary::CompareDecimals(order), sides) => {
                self.by_size(expr, *order, sides, world)
            }
            Expr::Has(of, rest) => {
                let mut path = if of.is_context() {
                    Vec::new()
                } else {
                    unseen_path(of, world.call.unseen)?
                };
                path.extend(rest.iter().map(AsRef::as_ref));
                path.first().filter(|name| world.call.unseen.holds(name))?;
                Some((self.thing(&path), Test::Here))
            }
            Expr::Like(of, pattern) => {
                let path = unseen_path(of, world.call.unseen)?;
                let at = self.thing(&path);
                let patterns = &mut self.things.get_mut(at)?.patterns;
                if !patterns.contains(&pattern) {
                    patterns.push(pattern);
                }
                Some((at, Test::Like(pattern)))
            }
            Expr::Get(..) | Expr::Remembered(_) => {
                let path = unseen_path(expr, world.call.unseen)?;
                let thing = self.compared(&path, [Datum::Bool(false), Datum::Bool(true)])?;
                Some((thing, Test::True))
            }
            Expr::And(_)
            | Expr::Binary(..)
            | Expr::Constant(_)
            | Expr::If(_)
            | Expr::Is(..)
            | Expr::Or(_)
            | Expr::Record(_)
            | Expr::Set(_)
            | Expr::Unary(..)
            | Expr::Variable(_) => None,
        }
    }

    /// `path == value`, or the other way round.
    fn equal(&mut self, sides: &'a (Expr, Expr), world: &World<'_, 'a>) -> Option<(usize, Test<'a>)> {
        for (one, other) in [(&sides.0, &sides.1), (&sides.1, &sides.0)] {
            if let (Some(path), Some(value)) =
                (unseen_path(one, world.call.unseen), possible_value(other, world))
            {
                let thing = self.compared(&path, [value.clone()])?;
                return Some((thing, Test::Among(vec![value])));
            }
        }
        None
    }

    /// `path < value` and its kin, or the other way round.
    fn by_size(
        &mut self,
        expr: &'a Expr,
        order: Order,
        sides: &'a (Expr, Expr),
        world: &World<'_, 'a>,
    ) -> Option<(usize, Test<'a>)> {
        let decimals = matches!(expr, Expr::Binary(Binary::CompareDecimals(_), _));
        for (one, other, order) in [(&sides.0, &sides.1, order), (&sides.1, &sides.0, order.flipped())] {
            let (Some(path), Some(value)) =
                (unseen_path(one, world.call.unseen), possible_value(other, world))
            else {
                continue;
            };
            if !matches!(
                (&value, decimals),
                (Datum::Long(_), false) | (Datum::Decimal(_), true)
            ) {
                return None;
            }
            let at = self.compared(&path, [value.clone()])?;
            self.things.get_mut(at)?.by_size = true;
            return Some((at, Test::Compared(order, value)));
        }
        None
    }

    fn compared(&mut self, path: &[&str], values: impl IntoIterator<Item = Datum<'a>>) -> Option<usize> {
        let at = self.thing(path);
        self.things.get_mut(at)?.values.extend(values);
        Some(at)
    }

    fn thing(&mut self, path: &[&str]) -> usize {
        let mut name = String::new();
        for part in path {
            // Writing to a `String` cannot fail.
            let _ = write!(name, "{part:?}.");
        }
        self.named(name, path.len() > 1, false)
    }

    /// The same expression is the same thing; of each caller, as it may look at who that is.
    fn opaque(&mut self, expr: &Expr, alone: Outcomes, caller: usize) -> Formula<'a> {
        let thing = self.named(format!("{caller} {expr:?}"), true, true);
        Formula::Test(thing, Test::True, alone)
    }

    fn named(&mut self, name: String, missing: bool, opaque: bool) -> usize {
        let next = self.things.len();
        let at = *self.names.entry(name).or_insert(next);
        if at == next {
            self.things.push(Thing {
                uses: 0,
                missing,
                values: BTreeSet::new(),
                by_size: false,
                patterns: Vec::new(),
                opaque,
            });
        }
        if let Some(thing) = self.things.get_mut(at) {
            thing.uses += 1;
        }
        at
    }
}

impl<'a> Thing<'a> {
    /// What is looked at once, or compared with too much, is left as anything.
    fn is_worth_it(&self) -> bool {
        self.uses > 1 && self.values.len() <= VALUES_MAX && self.patterns.len() <= PATTERNS_MAX
    }

    fn guesses(&self) -> Vec<Guess<'a>> {
        if self.opaque {
            let truth = |truth| Guess::Exactly(Datum::Bool(truth));
            return vec![truth(true), truth(false), Guess::Fails];
        }
        let mut guesses: Vec<Guess<'a>> = self.values.iter().cloned().map(Guess::Exactly).collect();
        guesses.extend((0..1 << self.patterns.len().min(PATTERNS_MAX)).map(Guess::Other));
        if self.by_size {
            let longs = self.values.iter().filter_map(as_long);
            guesses.extend(gaps(longs).map(|(from, to)| Guess::Long(from, to)));
            let decimals = self.values.iter().filter_map(as_decimal);
            guesses.extend(gaps(decimals).map(|(from, to)| Guess::Decimal(from, to)));
        }
        if self.missing {
            guesses.push(Guess::Missing);
        }
        guesses
    }
}

fn as_long(value: &Datum<'_>) -> Option<i64> {
    if let Datum::Long(number) = value {
        return Some(*number);
    }
    None
}

fn as_decimal(value: &Datum<'_>) -> Option<i64> {
    if let Datum::Decimal(number) = value {
        return Some(number.ten_thousandths());
    }
    None
}

/// What lies between sorted numbers, and beyond them: the bounds do not belong to it.
fn gaps(numbers: impl Iterator<Item = i64>) -> impl Iterator<Item = (Option<i64>, Option<i64>)> {
    let numbers: Vec<Option<i64>> = numbers.map(Some).collect();
    let from = std::iter::once(None).chain(numbers.clone());
    let to = numbers.into_iter().chain([None]);
    let all: Vec<_> = from.zip(to).collect();
    all.into_iter().filter(|(from, to)| match (from, to) {
        (Some(from), Some(to)) => to.saturating_sub(*from) > 1,
        (Some(from), None) => *from < i64::MAX,
        (None, Some(to)) => *to > i64::MIN,
        (None, None) => true,
    })
}

impl Test<'_> {
    /// What it comes to. Where a guess stands for several values, all they could come to; a failure that could as well
    /// be false is left out, because a failure permits nothing that what is false does not.
    fn of(&self, guess: &Guess<'_>, thing: &Thing<'_>) -> Outcomes {
        let truth = |truth| if truth { Outcomes::TRUE } else { Outcomes::FALSE };
        match (self, guess) {
            (_, Guess::Fails) => Outcomes::FAILURE,
            // What stands in what is no record fails; else it is just not there.
            (Self::Here, Guess::Missing) => Outcomes::FALSE,
            (Self::Here, _) => Outcomes::TRUE,
            (_, Guess::Missing) => Outcomes::FAILURE,
            (Self::Among(values), Guess::Exactly(value)) => truth(values.contains(value)),
            (Self::Among(_), Guess::Decimal(..) | Guess::Long(..) | Guess::Other(_)) => Outcomes::FALSE,
            (Self::Compared(order, of), Guess::Exactly(value)) => match (value, of) {
                (Datum::Long(value), Datum::Long(of)) => truth(order.holds(value, of)),
                (Datum::Decimal(value), Datum::Decimal(of)) => truth(order.holds(value, of)),
                _ => Outcomes::FAILURE,
            },
            (Self::Compared(order, of), Guess::Long(from, to)) => within(*order, *from, *to, as_long(of)),
            (Self::Compared(order, of), Guess::Decimal(from, to)) => {
                within(*order, *from, *to, as_decimal(of))
            }
            // Every number is one of the others, or between two of them.
            (Self::Compared(..), Guess::Other(_)) => Outcomes::FAILURE,
            (Self::Like(pattern), Guess::Exactly(Datum::Text(text))) => truth(pattern.matches(text)),
            (Self::Like(pattern), Guess::Other(fits)) => {
                let at = thing.patterns.iter().position(|each| each == pattern);
                truth(at.is_some_and(|at| fits >> at & 1 == 1))
            }
            (Self::Like(_), Guess::Decimal(..) | Guess::Exactly(_) | Guess::Long(..)) => Outcomes::FAILURE,
            (Self::True, Guess::Exactly(Datum::Bool(value))) => truth(*value),
            (Self::True, Guess::Decimal(..) | Guess::Exactly(_) | Guess::Long(..) | Guess::Other(_)) => {
                Outcomes::FAILURE
            }
        }
    }
}

/// What a comparison with a number comes to for all between two others, of which it is none.
fn within(order: Order, from: Option<i64>, to: Option<i64>, of: Option<i64>) -> Outcomes {
    let Some(of) = of else {
        return Outcomes::FAILURE;
    };
    let below = to.is_some_and(|to| to <= of);
    let above = from.is_some_and(|from| from >= of);
    let smaller = match order {
        Order::Less | Order::LessOrEqual => true,
        Order::Greater | Order::GreaterOrEqual => false,
    };
    match (below, above) {
        (true, _) if smaller => Outcomes::TRUE,
        (true, _) => Outcomes::FALSE,
        (_, true) if smaller => Outcomes::FALSE,
        (_, true) => Outcomes::TRUE,
        (false, false) => Outcomes::TRUE.or(Outcomes::FALSE),
    }
}

/// The names of a path into what nobody has seen.
pub(super) fn unseen_path(expr: &Expr, unseen: Unseen) -> Option<Vec<&str>> {
    let mut names = path(expr)?;
    names.reverse();
    let first = names.first()?;
    unseen.holds(first).then_some(names)
}

/// The names of a path of the context, the last first.
fn path(expr: &Expr) -> Option<Vec<&str>> {
    let mut names = Vec::new();
    let mut at = expr;
    loop {
        match at {
            Expr::Remembered(remembered) => at = &remembered.path,
            Expr::Get(of, name) => {
                names.push(name.as_ref());
                at = of;
            }
            Expr::Variable(Variable::Context) => return Some(names),
            Expr::And(_)
            | Expr::Binary(..)
            | Expr::Constant(_)
            | Expr::Has(..)
            | Expr::If(_)
            | Expr::Is(..)
            | Expr::Like(..)
            | Expr::Or(_)
            | Expr::Record(_)
            | Expr::Set(_)
            | Expr::Unary(..)
            | Expr::Variable(_) => return None,
        }
    }
}

/// Which of the things that rules look at before a call are looked at more than once, by their rules.
pub(super) fn contested(rules: &[Rule]) -> Vec<Vec<u32>> {
    let mut uses: BTreeMap<String, (u32, u32)> = BTreeMap::new();
    let mut of_rules: Vec<Vec<String>> = Vec::new();
    for rule in rules {
        let mut looked = Vec::new();
        for condition in &rule.conditions {
            looks(&condition.expr, &mut looked);
        }
        for name in &looked {
            let next = u32::try_from(uses.len()).unwrap_or(u32::MAX);
            uses.entry(name.clone()).or_insert((next, 0)).1 += 1;
        }
        of_rules.push(looked);
    }
    let number = |name: &String| uses.get(name).filter(|(_, times)| *times > 1).map(|(at, _)| *at);
    let of_rule = |looked: Vec<String>| looked.iter().filter_map(number).collect();
    of_rules.into_iter().map(of_rule).collect()
}

/// The paths into what nobody has seen that an expression looks at, each time it does.
fn looks(expr: &Expr, found: &mut Vec<String>) {
    let mut name = match expr {
        Expr::Has(of, _) if of.is_context() => Some(Vec::new()),
        Expr::Has(of, _) => unseen_path(of, Unseen::Call),
        Expr::And(_)
        | Expr::Binary(..)
        | Expr::Constant(_)
        | Expr::Get(..)
        | Expr::If(_)
        | Expr::Is(..)
        | Expr::Like(..)
        | Expr::Or(_)
        | Expr::Record(_)
        | Expr::Remembered(_)
        | Expr::Set(_)
        | Expr::Unary(..)
        | Expr::Variable(_) => unseen_path(expr, Unseen::Call),
    };
    if let (Expr::Has(_, rest), Some(name)) = (expr, &mut name) {
        name.extend(rest.iter().map(AsRef::as_ref));
    }
    match name.filter(|name| name.first().is_some_and(|first| Unseen::Call.holds(first))) {
        Some(name) => found.push(name.join("\u{0}")),
        None => expr.parts(&mut |part| looks(part, found)),
    }
}
