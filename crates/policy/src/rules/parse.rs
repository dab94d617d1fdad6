//! Sources of rules to rules. Every statement is read by itself, so that one run reports everything that is
//! wrong in all of them.

use std::{collections::BTreeMap, str::FromStr, sync::Arc};

use cedar_policy::{Policy, PolicyId, PolicySet, pst};

use super::{
    RuleErrors, RuleSource,
    annotation::Annotations,
    compile::{Compiler, Named},
    diagnostic::{Diagnostic, Fault},
    expr::{Expr, Unary},
    rule::{self, Actions, Condition, Constraint, Effect, Rule, RuleText},
    token::{self, Token, TokenKind},
};
use crate::{action::Action, permit::RuleId};

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
    pub(super) policy: pst::Policy,
    /// Where the rule begins in its source.
    pub(super) start: usize,
}

/// Runs something that lets Cedar recurse.
pub(super) fn with_room<T>(recurse: impl FnOnce() -> T) -> T {
    stacker::grow(STACK_BYTES, recurse)
}

/// Reads all rules of all sources.
pub(super) fn parse(sources: &[RuleSource]) -> Result<Vec<Parsed>, RuleErrors> {
    let mut wrong = Vec::new();
    let mut report = |source: &RuleSource, faults: Vec<Fault>| {
        let place = |fault: Fault| fault.within(&source.name, &source.text);
        wrong.extend(faults.into_iter().map(place));
    };
    let tokens: Vec<_> = sources.iter().map(|source| token::tokens(&source.text)).collect();
    let mut statements = Vec::new();
    for (source, tokens) in sources.iter().zip(&tokens) {
        match statements_of(source, tokens) {
            Ok(more) => statements.extend(more),
            Err(fault) => report(source, vec![fault]),
        }
    }
    let mut together = all_at_once(&statements).into_iter();
    let mut rules = Vec::new();
    let mut places: BTreeMap<RuleId, String> = BTreeMap::new();
    for statement in statements {
        match statement.read(together.next()) {
            Err(faults) => report(statement.source, faults),
            Ok(parsed) => {
                let place = format!("{}:{}", statement.source.name, statement.line);
                if let Some(first) = places.insert(parsed.rule.id.clone(), place) {
                    let message = format!("rule `{}` stands at {first} already", parsed.rule.id);
                    let remedy = "give each rule an `@id` of its own";
                    report(statement.source, vec![Fault::new(parsed.start, message, remedy)]);
                }
                rules.push(parsed);
            }
        }
    }
    if rules.len() > RULES_MAX {
        wrong.push(too_many(rules.len()));
    }
    RuleErrors::check(wrong)?;
    Ok(rules)
}

/// The statements of a source, within bounds.
fn statements_of<'s>(source: &'s RuleSource, tokens: &'s [Token]) -> Result<Vec<Statement<'s>>, Fault> {
    if source.text.len() > SOURCE_BYTES_MAX {
        let message = format!("the source has more than {SOURCE_BYTES_MAX} bytes");
        return Err(Fault::new(0, message, "split it"));
    }
    let mut found: Vec<Statement<'_>> = Vec::new();
    let (mut line, mut counted) = (1, 0);
    for tokens in token::statements(tokens) {
        let start = tokens.first().map_or(0, |token| token.start);
        line += source
            .text
            .get(counted..start)
            .unwrap_or_default()
            .matches('\n')
            .count();
        counted = start;
        let statement = Statement {
            source,
            tokens,
            line,
            number: found.len() + 1,
        };
        statement.check_bounds()?;
        found.push(statement);
    }
    if let [only] = found.as_mut_slice() {
        only.number = 0;
    }
    Ok(found)
}

/// What Cedar makes of all statements in one go, in their order; nothing if anything is wrong with any.
/// Its lexer warms up anew for every text it is given, which for ten thousand rules is seconds.
fn all_at_once(statements: &[Statement<'_>]) -> Vec<Policy> {
    let texts: Vec<_> = statements.iter().map(|statement| statement.text()).collect();
    let Ok(set) = PolicySet::from_str(&texts.join("\n")) else {
        return Vec::new();
    };
    let policies = (0..texts.len()).map(|n| set.policy(&PolicyId::new(format!("policy{n}"))).cloned());
    policies.collect::<Option<Vec<_>>>().unwrap_or_default()
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
    /// The line it begins on, from 1.
    line: usize,
    /// Which of its source's statements it is, from 1; 0 if it is the only one.
    number: usize,
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

    /// The name of a rule that has no `@id`.
    fn name(self) -> String {
        match self.number {
            0 => self.source.name.clone(),
            n => format!("{}#{n}", self.source.name),
        }
    }

    /// Compiles what Cedar made of the statement, or else lets Cedar say what is wrong with it.
    fn read(self, policy: Option<Policy>) -> Result<Parsed, Vec<Fault>> {
        let policy = policy.map_or_else(|| self.cedar(), Ok)?;
        let policy = policy
            .to_pst()
            .map_err(|error| vec![Fault::of_cedar(&error, self.start(), "rewrite the rule")])?;
        let rule = self.compile(policy.body())?;
        let start = self.start();
        Ok(Parsed { rule, policy, start })
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

    fn cedar(self) -> Result<Policy, Vec<Fault>> {
        Policy::parse(None, self.text()).map_err(|errors| {
            let remedy = "rules are written in Cedar: `permit(principal, action, resource) when { ... };`";
            let fault = |error| Fault::of_cedar(error, self.start(), remedy);
            errors.iter().map(|error| fault(error)).collect()
        })
    }

    fn compile(self, body: &pst::Template) -> Result<Rule, Vec<Fault>> {
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
        let principal = principal(&mut compiler, &body.principal);
        let clauses = body.clauses().iter();
        let conditions: Vec<_> = clauses
            .flat_map(|clause| conditions(&mut compiler, clause))
            .collect();
        let spoken = compiler.take_named();
        let resource = resource(&mut compiler, &body.resource);
        let actions = actions(&mut compiler, &body.action).with_models(effect, &resource);
        let rule = Rule {
            impersonal: rule::is_impersonal(&principal, &conditions),
            id: RuleId(annotations.id.unwrap_or_else(|| self.name()).into()),
            effect,
            principal,
            actions,
            resource,
            conditions,
            reason: annotations.reason,
            scope: annotations.scope,
            obligations: annotations.obligations,
            text: self.rule_text(),
        };
        faults.extend(self.meant_models(&rule, &spoken));
        faults.extend(compiler.into_faults());
        if !faults.is_empty() {
            return Err(faults);
        }
        Ok(rule)
    }

    /// Rules of the time when `complete` was what is done with models, too, that would now come to something else
    /// without a word. `spoken` is what the conditions speak of.
    fn meant_models(self, rule: &Rule, spoken: &Named) -> Option<Fault> {
        let names = |action| rule.actions.name(action) || spoken.actions.contains(&action);
        if !names(Action::Complete) || spoken.actions.contains(&Action::Generate) {
            return None;
        }
        let place = self.place_of(Action::Complete.as_str());
        let has_models = rule.actions.admit(Action::Generate) && rule.resource.may_be_model();
        if has_models && spoken.actions.contains(&Action::Complete) {
            let message = "a condition names `complete`, and what is done with a model is `generate`";
            let remedy =
                "name `generate` in the condition, too, or say which of them is meant in the rule's head";
            return Some(Fault::new(place, message, remedy));
        }
        let never = !rule.actions.admit(Action::Generate) && rule.resource.may_be_model() && spoken.models;
        never.then(|| {
            let message = "a condition speaks of models, and `complete` is nothing that is done with one";
            let remedy = "name `generate` for models, or leave them out of the condition";
            Fault::new(place, message, remedy)
        })
    }

    fn rule_text(self) -> RuleText {
        RuleText {
            source: self.source.name.as_str().into(),
            line: self.line,
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
    constraint: impl FnOnce(super::entity::Uid) -> Constraint,
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
            text: format!("unless {expr}").into(),
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
                text: part.to_string().into(),
            };
            parts.into_iter().rev().map(condition).collect()
        }
    }
}
