//! One rule, read and compiled.

use std::sync::Arc;

use super::{
    entity::{Entity, Uid},
    expr::{Expr, Variable},
    world::World,
};
use crate::{
    action::Action,
    permit::{Obligation, RuleId},
};

/// What a rule does when it matches.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Effect {
    /// It refuses, or with `@approve` asks; whatever permits.
    Forbid,
    /// It permits, under its obligations.
    Permit,
}

impl Effect {
    /// The word rules use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Forbid => "forbid",
            Self::Permit => "permit",
        }
    }
}

/// One rule.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    pub(super) id: RuleId,
    pub(super) effect: Effect,
    pub(super) principal: Constraint,
    pub(super) actions: Actions,
    pub(super) resource: Constraint,
    /// In the order written; all must hold.
    pub(super) conditions: Vec<Condition>,
    pub(super) reason: Option<String>,
    pub(super) scope: Option<String>,
    /// On a `forbid` only approvals: whoever may lift it.
    pub(super) obligations: Vec<Obligation>,
    pub(super) text: RuleText,
    /// Whether it comes to the same for every principal.
    pub(super) impersonal: bool,
}

/// A rule as written.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RuleText {
    /// The source's name.
    pub source: Arc<str>,
    /// The line it begins on, from 1.
    pub line: usize,
    /// The rule, in Cedar.
    pub cedar: Arc<str>,
}

/// What a rule's head says of the principal or the resource.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Constraint {
    Any,
    Equal(Uid),
    In(Uid),
    Is(Arc<str>),
    IsIn(Arc<str>, Uid),
}

/// The actions a rule's head names; all when it names none.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Actions(Option<Vec<Action>>);

/// One part of a rule's `when` and `unless`, that can decide by itself.
#[derive(Clone, Debug)]
pub(super) struct Condition {
    pub(super) expr: Expr,
    /// As a person would read it.
    pub(super) text: Box<str>,
}

/// Whether a rule with this head and these conditions comes to the same for every principal.
pub(super) fn is_impersonal(principal: &Constraint, conditions: &[Condition]) -> bool {
    let silent = conditions
        .iter()
        .all(|condition| !condition.expr.mentions(Variable::Principal));
    *principal == Constraint::Any && silent
}

impl Rule {
    /// Whether the rule forbids discovery by name.
    pub(super) fn hides(&self) -> bool {
        let refuses = self.effect == Effect::Forbid && self.obligations.is_empty();
        refuses && self.actions.name(Action::Discover)
    }
}

impl Constraint {
    /// The entity it names.
    pub(super) fn uid(&self) -> Option<&Uid> {
        match self {
            Self::Any | Self::Is(_) => None,
            Self::Equal(uid) | Self::In(uid) | Self::IsIn(_, uid) => Some(uid),
        }
    }

    /// Whether only models can be meant.
    fn is_model(&self) -> bool {
        match self {
            Self::Any | Self::In(_) => false,
            Self::Equal(uid) => uid.kind.as_ref() == "Model",
            Self::Is(kind) | Self::IsIn(kind, _) => kind.as_ref() == "Model",
        }
    }

    /// Whether a model can be meant.
    pub(super) fn may_be_model(&self) -> bool {
        match self {
            Self::Any => true,
            Self::In(uid) => ["Model", "Tenant"].contains(&uid.kind.as_ref()),
            Self::Equal(_) | Self::Is(_) | Self::IsIn(..) => self.is_model(),
        }
    }

    /// The constraint as the rule's head has it; empty for any.
    pub(super) fn text(&self, variable: &str) -> String {
        let named = |uid: &Uid| Entity::Named(uid.clone());
        match self {
            Self::Any => String::new(),
            Self::Equal(uid) => format!("{variable} == {}", named(uid)),
            Self::In(uid) => format!("{variable} in {}", named(uid)),
            Self::Is(kind) => format!("{variable} is {kind}"),
            Self::IsIn(kind, uid) => format!("{variable} is {kind} in {}", named(uid)),
        }
    }

    pub(super) fn admits<'a>(&self, entity: &Entity<'a>, world: &World<'_, 'a>) -> bool {
        match self {
            Self::Any => true,
            Self::Equal(uid) => entity.key() == uid.key(),
            Self::In(uid) => world.is_below(entity, uid.key()),
            Self::Is(kind) => entity.key().0 == kind.as_ref(),
            Self::IsIn(kind, uid) => entity.key().0 == kind.as_ref() && world.is_below(entity, uid.key()),
        }
    }
}

impl Actions {
    pub(super) fn all() -> Self {
        Self(None)
    }

    pub(super) fn only(actions: Vec<Action>) -> Self {
        Self(Some(actions))
    }

    pub(super) fn admit(&self, action: Action) -> bool {
        self.0.as_ref().is_none_or(|actions| actions.contains(&action))
    }

    /// The same, where rules that named `complete` before models had an action of their own mean those, too: a
    /// `forbid` still does, and so does what is about models alone.
    pub(super) fn with_models(mut self, effect: Effect, resource: &Constraint) -> Self {
        if let Some(actions) = &mut self.0
            && actions.contains(&Action::Complete)
            && !actions.contains(&Action::Generate)
            && (effect == Effect::Forbid || resource.is_model())
        {
            actions.push(Action::Generate);
        }
        self
    }

    /// Whether the action is named, not merely included in all.
    pub(super) fn name(&self, action: Action) -> bool {
        self.0.as_ref().is_some_and(|actions| actions.contains(&action))
    }
}
