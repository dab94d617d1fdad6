//! Sources of rules to rules. Every statement is read by itself, so that one run reports everything that is
//! wrong in all of them.

use std::{collections::BTreeMap, str::FromStr, sync::Arc};

use cedar_policy::{Policy, PolicyId, pst};

use super::{
    RuleErrors, RuleSource,
    annotation::Annotations,
    compile::Compiler,
    diagnostic::{Diagnostic, Fault},
    expr::{Expr, Unary},
    rule::{Actions, Condition, Constraint, Effect, Rule, RuleText},
    token::{self, Token, TokenKind},
};
use crate::permit::RuleId;

/// Longest source, in bytes.
const SOURCE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Most rules of a set.
const RULES_MAX: usize = 100_000;
/// Longest rule, in bytes.
const RULE_BYTES_MAX: usize = 16 * 1024;
/// Most tokens of a rule. Every level of nesting costs two at least, `a || b || c` included.
const RULE_TOKENS_MAX: usize = 2000;
/// Deepest nesting of brackets in a rule.
const NESTING_MAX: usize = 50;
/// Room for Cedar's recursion over a rule of [`RULE_TOKENS_MAX`]: 25 kB a level, measured without optimisation.
/// Only what is used of it is ever backed by memory.
const STACK_BYTES: usize = 64 * 1024 * 1024;

/// A rule together with what Cedar read, which the schema and the digest are taken from.
pub(super) struct Parsed {
    pub(super) rule: Rule,
    pub(super) policy: Policy,
    /// Where the rule begins in its source.
    pub(super) start: usize,
}

/// Runs something that lets Cedar recurse.
pub(super) fn with_room<T>(recurse: impl FnOnce() -> T) -> T {
    stacker::grow(STACK_BYTES, recurse)
}

/// Reads all rules of all sources.
pub(super) fn parse(sources: &[RuleSource]) -> Result<Vec<Parsed>, RuleErrors> {
    let mut rules = Vec::new();
    let mut wrong = Vec::new();
    let mut places: BTreeMap<RuleId, String> = BTreeMap::new();
    for source in sources {
        let mut report = |faults: Vec<Fault>| {
            let place = |fault: Fault| fault.within(&source.name, &source.text);
            wrong.extend(faults.into_iter().map(place));
        };
        if source.text.len() > SOURCE_BYTES_MAX {
            let message = format!("the source has more than {SOURCE_BYTES_MAX} bytes");
            report(vec![Fault::new(0, message, "split it")]);
            continue;
        }
        let tokens = token::tokens(&source.text);
        let statements: Vec<_> = token::statements(&tokens).collect();
        let single = statements.len() == 1;
        for (n, tokens) in statements.into_iter().enumerate() {
            let name = if single {
                source.name.clone()
            } else {
                format!("{}#{}", source.name, n + 1)
            };
            let statement = Statement { source, tokens };
            match statement.read(&name) {
                Err(faults) => report(faults),
                Ok(parsed) => {
                    let RuleText { source: at, line, .. } = &parsed.rule.text;
                    let place = format!("{at}:{line}");
                    if let Some(first) = places.insert(parsed.rule.id.clone(), place) {
                        let message = format!("rule `{}` stands at {first} already", parsed.rule.id);
                        let remedy = "give each rule an `@id` of its own";
                        report(vec![Fault::new(parsed.start, message, remedy)]);
                    }
                    rules.push(parsed);
                }
            }
        }
    }
    if rules.len() > RULES_MAX {
        wrong.push(too_many(rules.len()));
    }
    RuleErrors::check(wrong)?;
    Ok(rules)
}

fn too_many(count: usize) -> Diagnostic {
    let message = format!("there are {count} rules, {RULES_MAX} at most are read");
    Fault::new(0, message, "say more with fewer: roles, groups and conditions").within("policy", "")
}

/// One statement of a source.
#[derive(Clone, Copy)]
struct Statement<'s> {
    source: &'s RuleSource,
    tokens: &'s [Token],
}

impl<'s> Statement<'s> {
    fn start(self) -> usize {
        self.tokens.first().map_or(0, |token| token.start)
    }

    fn text(self) -> &'s str {
        let end = self.tokens.last().map_or(0, |token| token.end);
        self.source.text.get(self.start()..end).unwrap_or_default()
    }

    /// Where a word stands, quoted or not; where the statement begins if it does not stand in it as such.
    fn place_of(self, word: &str) -> usize {
        let is_it = |token: &&Token| match token.kind {
            TokenKind::Quoted => token.text(&self.source.text).trim_matches('"') == word,
            TokenKind::Word => token.text(&self.source.text) == word,
            TokenKind::Sign(_) => false,
        };
        self.tokens
            .iter()
            .find(is_it)
            .map_or(self.start(), |token| token.start)
    }

    /// Where an annotation stands: its `@`.
    fn place_of_annotation(self, name: &str) -> usize {
        let mut pairs = self.tokens.iter().zip(self.tokens.iter().skip(1));
        let is_it = |(sign, word): &(&Token, &Token)| {
            sign.kind == TokenKind::Sign('@') && word.text(&self.source.text) == name
        };
        pairs.find(is_it).map_or(self.start(), |(sign, _)| sign.start)
    }

    fn read(self, name: &str) -> Result<Parsed, Vec<Fault>> {
        self.check_bounds().map_err(|fault| vec![fault])?;
        let policy = self.cedar(name)?;
        let template = policy
            .to_pst()
            .map_err(|error| vec![Fault::of_cedar(&error, self.start(), "rewrite the rule")])?;
        self.compile(policy, template.body(), name)
    }

    fn check_bounds(self) -> Result<(), Fault> {
        if self.text().len() > RULE_BYTES_MAX {
            let message = format!("a rule has more than {RULE_BYTES_MAX} bytes");
            return Err(Fault::new(self.start(), message, "split it"));
        }
        if self.tokens.len() > RULE_TOKENS_MAX {
            let message = format!("a rule has more than {RULE_TOKENS_MAX} words and signs");
            return Err(Fault::new(
                self.start(),
                message,
                "split it, or compare with a set",
            ));
        }
        if token::depth(self.tokens) > NESTING_MAX {
            let message = format!("a rule is nested more than {NESTING_MAX} deep");
            return Err(Fault::new(self.start(), message, "split it"));
        }
        Ok(())
    }

    fn cedar(self, name: &str) -> Result<Policy, Vec<Fault>> {
        let id = PolicyId::from_str(name).ok();
        Policy::parse(id, self.text()).map_err(|errors| {
            let remedy = "rules are written in Cedar: `permit(principal, action, resource) when { ... };`";
            let fault = |error| Fault::of_cedar(error, self.start(), remedy);
            errors.iter().map(|error| fault(error)).collect()
        })
    }

    fn compile(self, policy: Policy, body: &pst::Template, name: &str) -> Result<Parsed, Vec<Fault>> {
        let effect = match body.effect {
            pst::Effect::Forbid => Effect::Forbid,
            pst::Effect::Permit => Effect::Permit,
        };
        let mut faults = Vec::new();
        let mut annotations = Annotations::default();
        for (name, value) in &body.annotations {
            if let Err((message, remedy)) = annotations.add(name, value, effect) {
                faults.push(Fault::new(self.place_of_annotation(name), message, remedy));
            }
        }
        let place_of = |word: &str| self.place_of(word);
        let mut compiler = Compiler::new(&place_of);
        let rule = Rule {
            id: RuleId(annotations.id.as_deref().unwrap_or(name).into()),
            effect,
            principal: principal(&mut compiler, &body.principal),
            actions: actions(&mut compiler, &body.action),
            resource: resource(&mut compiler, &body.resource),
            conditions: body
                .clauses()
                .iter()
                .flat_map(|clause| conditions(&mut compiler, clause))
                .collect(),
            reason: annotations.reason,
            scope: annotations.scope,
            obligations: annotations.obligations,
            text: self.rule_text(),
        };
        faults.extend(compiler.into_faults());
        if !faults.is_empty() {
            return Err(faults);
        }
        let start = self.start();
        Ok(Parsed { rule, policy, start })
    }

    fn rule_text(self) -> RuleText {
        let before = self.source.text.get(..self.start()).unwrap_or_default();
        RuleText {
            source: self.source.name.as_str().into(),
            line: before.matches('\n').count() + 1,
            cedar: self.text().into(),
        }
    }
}

fn principal(compiler: &mut Compiler<'_>, constraint: &pst::PrincipalConstraint) -> Constraint {
    match constraint {
        pst::PrincipalConstraint::Any => Constraint::Any,
        pst::PrincipalConstraint::Eq(entity) => named(compiler, entity, Constraint::Equal),
        pst::PrincipalConstraint::In(entity) => named(compiler, entity, Constraint::In),
        pst::PrincipalConstraint::Is(kind) => Constraint::Is(compiler.kind(kind)),
        pst::PrincipalConstraint::IsIn(kind, entity) => {
            let kind = compiler.kind(kind);
            named(compiler, entity, |uid| Constraint::IsIn(kind, uid))
        }
    }
}

fn resource(compiler: &mut Compiler<'_>, constraint: &pst::ResourceConstraint) -> Constraint {
    match constraint {
        pst::ResourceConstraint::Any => Constraint::Any,
        pst::ResourceConstraint::Eq(entity) => named(compiler, entity, Constraint::Equal),
        pst::ResourceConstraint::In(entity) => named(compiler, entity, Constraint::In),
        pst::ResourceConstraint::Is(kind) => Constraint::Is(compiler.kind(kind)),
        pst::ResourceConstraint::IsIn(kind, entity) => {
            let kind = compiler.kind(kind);
            named(compiler, entity, |uid| Constraint::IsIn(kind, uid))
        }
    }
}

/// Cedar has refused templates before, so that a slot never comes here; if one did, the rule would name
/// nobody.
fn named(
    compiler: &mut Compiler<'_>,
    entity: &pst::EntityOrSlot,
    constraint: impl FnOnce(super::world::Uid) -> Constraint,
) -> Constraint {
    match entity {
        pst::EntityOrSlot::Entity(uid) => constraint(compiler.uid(uid)),
        pst::EntityOrSlot::Slot(_) => Constraint::Is(Arc::from("")),
    }
}

fn actions(compiler: &mut Compiler<'_>, constraint: &pst::ActionConstraint) -> Actions {
    let uids = match constraint {
        pst::ActionConstraint::Any => return Actions::all(),
        pst::ActionConstraint::Eq(uid) => std::slice::from_ref(uid),
        pst::ActionConstraint::In(uids) => uids.as_slice(),
    };
    Actions::only(uids.iter().filter_map(|uid| compiler.action(&uid.eid)).collect())
}

/// The parts of a clause that decide one by one: `a && b` is two.
fn conditions(compiler: &mut Compiler<'_>, clause: &pst::Clause) -> Vec<Condition> {
    match clause {
        pst::Clause::Unless(expr) => vec![Condition {
            expr: Expr::Unary(Unary::Not, Box::new(compiler.expr(expr, 0))),
        }],
        pst::Clause::When(expr) => {
            let mut parts = Vec::new();
            let mut rest = expr;
            while let pst::Expr::BinaryOp {
                op: pst::BinaryOp::And,
                left,
                right,
            } = rest.as_ref()
            {
                parts.push(right);
                rest = left;
            }
            parts.push(rest);
            let condition = |part: &Arc<pst::Expr>| Condition {
                expr: compiler.expr(part, 0),
            };
            parts.into_iter().rev().map(condition).collect()
        }
    }
}
