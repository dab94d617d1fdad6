//! Cedar's syntax tree to ours: names checked against what there is, constants computed, depth bounded.
//! A name that does not exist is an error here and never a condition that is silently false.

use std::{collections::BTreeMap, sync::Arc};

use cedar_policy::pst;

use super::{
    datum::Datum,
    diagnostic::Fault,
    entity::{Entity, Uid},
    evaluate,
    expr::{Binary, Expr, Order, Reader, Unary, Variable},
    pattern::{Pattern, Piece},
    vocabulary,
};
use crate::action::Action;

/// Deepest nesting of a condition once chains are flattened.
const DEPTH_MAX: usize = 100;

/// Compiles the parts of one rule and gathers what is wrong with them.
pub(super) struct Compiler<'s> {
    /// Where a word of the rule stands in its source.
    place_of: &'s dyn Fn(&str) -> usize,
    faults: Vec<Fault>,
    named: Named,
}

/// What the parts that were compiled so far speak of.
#[derive(Clone, Debug, Default)]
pub(super) struct Named {
    pub(super) actions: Vec<Action>,
    pub(super) models: bool,
}

impl<'s> Compiler<'s> {
    pub(super) fn new(place_of: &'s dyn Fn(&str) -> usize) -> Self {
        Self {
            place_of,
            faults: Vec::new(),
            named: Named::default(),
        }
    }

    /// What was spoken of since this was asked.
    pub(super) fn take_named(&mut self) -> Named {
        std::mem::take(&mut self.named)
    }

    pub(super) fn into_faults(self) -> Vec<Fault> {
        self.faults
    }

    fn fault(&mut self, word: &str, message: String, remedy: impl Into<String>) {
        let offset = (self.place_of)(word);
        self.faults.push(Fault::new(offset, message, remedy));
    }

    /// An entity's name, of a type that exists; actions must exist too.
    pub(super) fn uid(&mut self, uid: &pst::EntityUID) -> Uid {
        let kind = self.kind(&uid.ty);
        if kind.as_ref() == "Action" {
            self.action(&uid.eid);
        }
        Uid {
            kind,
            id: uid.eid.as_str().into(),
        }
    }

    /// An entity type that exists.
    pub(super) fn kind(&mut self, kind: &pst::EntityType) -> Arc<str> {
        let name = kind.0.to_string();
        if !vocabulary::KINDS.contains(&name.as_str()) {
            self.unknown("entity type", &name, &vocabulary::KINDS);
        }
        self.named.models |= name == "Model";
        name.into()
    }

    /// An action that exists.
    pub(super) fn action(&mut self, word: &str) -> Option<Action> {
        let action = Action::parse(word);
        if action.is_none() {
            self.unknown("action", word, &Action::ALL.map(Action::as_str));
        }
        self.named.actions.extend(action);
        action
    }

    fn unknown(&mut self, what: &str, name: &str, known: &[&str]) {
        let message = format!("there is no {what} `{name}`");
        let remedy = match vocabulary::nearest(name, known) {
            Some(nearest) => format!("did you mean `{nearest}`?"),
            None => format!("there are {}", known.join(", ")),
        };
        self.fault(name, message, remedy);
    }

    /// A condition.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "Cedar may add to it; what is new to us is refused"
    )]
    pub(super) fn expr(&mut self, expr: &pst::Expr, depth: usize) -> Expr {
        if depth > DEPTH_MAX {
            if depth == DEPTH_MAX + 1 {
                self.fault(
                    "",
                    format!("a condition is nested more than {DEPTH_MAX} deep"),
                    "split the rule",
                );
            }
            return Expr::Constant(Datum::Bool(false));
        }
        let compiled = match expr {
            pst::Expr::Literal(literal) => self.literal(literal),
            pst::Expr::Var(variable) => Expr::Variable(match variable {
                pst::Var::Action => Variable::Action,
                pst::Var::Context => Variable::Context,
                pst::Var::Principal => Variable::Principal,
                pst::Var::Resource => Variable::Resource,
            }),
            pst::Expr::UnaryOp { op, expr } => self.unary(*op, expr, depth),
            pst::Expr::BinaryOp { op, left, right } => self.binary(*op, expr, left, right, depth),
            pst::Expr::GetAttr { expr, attr } => {
                Expr::Get(Box::new(self.expr(expr, depth + 1)), attr.as_str().into())
            }
            pst::Expr::HasAttr { expr, attrs } => {
                let path = attrs.iter().map(|attr| attr.as_str().into()).collect();
                Expr::Has(Box::new(self.expr(expr, depth + 1)), path)
            }
            pst::Expr::Like { expr, pattern } => {
                let pattern: Pattern = pattern
                    .iter()
                    .map(|element| match element {
                        pst::PatternElem::Char(c) => Piece::Char(*c),
                        pst::PatternElem::Wildcard => Piece::Star,
                    })
                    .collect();
                Expr::Like(Box::new(self.expr(expr, depth + 1)), pattern)
            }
            pst::Expr::Is {
                expr,
                entity_type,
                in_expr,
            } => self.is(expr, entity_type, in_expr.as_deref(), depth),
            pst::Expr::IfThenElse {
                cond,
                then_expr,
                else_expr,
            } => Expr::If(Box::new((
                self.expr(cond, depth + 1),
                self.expr(then_expr, depth + 1),
                self.expr(else_expr, depth + 1),
            ))),
            pst::Expr::Set(elements) => self.set(elements, depth),
            pst::Expr::Record(fields) => self.record(fields, depth),
            other => self.unsupported(&other.to_string()),
        };
        if let Some((message, word, remedy)) = vocabulary::misnamed(&compiled) {
            self.fault(&word, message, remedy);
        }
        compiled
    }

    fn literal(&mut self, literal: &pst::Literal) -> Expr {
        Expr::Constant(match literal {
            pst::Literal::Bool(truth) => Datum::Bool(*truth),
            pst::Literal::EntityUID(uid) => Datum::Entity(Entity::Named(self.uid(uid))),
            pst::Literal::Long(number) => Datum::Long(*number),
            pst::Literal::String(text) => Datum::Text(text.to_string().into()),
            other => return self.unsupported(&format!("{other:?}")),
        })
    }

    fn unary(&mut self, op: pst::UnaryOp, expr: &pst::Expr, depth: usize) -> Expr {
        use pst::UnaryOp as Op;
        let operator = match op {
            Op::Datetime => Unary::Read(Reader::Moment),
            Op::Decimal => Unary::Read(Reader::Decimal),
            Op::Duration => Unary::Read(Reader::Span),
            Op::Ip => Unary::Read(Reader::Network),
            Op::IsEmpty => Unary::IsEmpty,
            Op::IsIPV6 => Unary::IsV6,
            Op::IsIPv4 => Unary::IsV4,
            Op::IsLoopback => Unary::IsLoopback,
            Op::IsMulticast => Unary::IsMulticast,
            Op::Neg => Unary::Negate,
            Op::Not => Unary::Not,
            Op::ToDate => Unary::ToDate,
            Op::ToDays => Unary::Days,
            Op::ToHours => Unary::Hours,
            Op::ToMilliseconds => Unary::Milliseconds,
            Op::ToMinutes => Unary::Minutes,
            Op::ToSeconds => Unary::Seconds,
            Op::ToTime => Unary::ToTime,
            other => return self.unsupported(&other.to_string()),
        };
        let of = self.expr(expr, depth + 1);
        let (Unary::Read(reader), Expr::Constant(Datum::Text(text))) = (operator, &of) else {
            return Expr::Unary(operator, Box::new(of));
        };
        Expr::Constant(evaluate::read(reader, text).unwrap_or_else(|failure| {
            let message = format!("this rule would always fail: {failure}");
            self.fault(text, message, "write it in the form named, or remove the rule");
            Datum::Bool(false)
        }))
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "Cedar may add to it; what is new to us is refused"
    )]
    fn binary(
        &mut self,
        op: pst::BinaryOp,
        whole: &pst::Expr,
        left: &pst::Expr,
        right: &pst::Expr,
        depth: usize,
    ) -> Expr {
        use pst::BinaryOp as Op;
        let operator = match op {
            Op::And | Op::Or => return self.chain(op, whole, depth),
            Op::Add => Binary::Add,
            Op::Contains => Binary::Contains,
            Op::ContainsAll => Binary::ContainsAll,
            Op::ContainsAny => Binary::ContainsAny,
            Op::DecimalGreater => Binary::CompareDecimals(Order::Greater),
            Op::DecimalGreaterEq => Binary::CompareDecimals(Order::GreaterOrEqual),
            Op::DecimalLessEq => Binary::CompareDecimals(Order::LessOrEqual),
            Op::DecimalLessThan => Binary::CompareDecimals(Order::Less),
            Op::DurationSince => Binary::Since,
            Op::Eq => Binary::Equal,
            Op::Greater => Binary::Compare(Order::Greater),
            Op::GreaterEq => Binary::Compare(Order::GreaterOrEqual),
            Op::In => Binary::In,
            Op::IsInRange => Binary::IsInRange,
            Op::Less => Binary::Compare(Order::Less),
            Op::LessEq => Binary::Compare(Order::LessOrEqual),
            Op::Mul => Binary::Multiply,
            Op::NotEq => Binary::NotEqual,
            Op::Offset => Binary::Offset,
            Op::Sub => Binary::Subtract,
            other => return self.unsupported(&other.to_string()),
        };
        let sides = (self.expr(left, depth + 1), self.expr(right, depth + 1));
        Expr::Binary(operator, Box::new(sides))
    }

    /// `a && b && c`, which Cedar nests to the left, as one list.
    fn chain(&mut self, op: pst::BinaryOp, whole: &pst::Expr, depth: usize) -> Expr {
        let mut parts = Vec::new();
        let mut rest = whole;
        while let pst::Expr::BinaryOp {
            op: inner,
            left,
            right,
        } = rest
            && *inner == op
        {
            parts.push(self.expr(right, depth + 1));
            rest = left;
        }
        parts.push(self.expr(rest, depth + 1));
        parts.reverse();
        if op == pst::BinaryOp::And {
            Expr::And(parts)
        } else {
            Expr::Or(parts)
        }
    }

    /// `e is T in f` is `e is T && e in f`.
    fn is(
        &mut self,
        expr: &pst::Expr,
        kind: &pst::EntityType,
        within: Option<&pst::Expr>,
        depth: usize,
    ) -> Expr {
        let of = self.expr(expr, depth + 1);
        let kind = self.kind(kind);
        let is = Expr::Is(Box::new(of.clone()), kind);
        let Some(within) = within else {
            return is;
        };
        let within = self.expr(within, depth + 1);
        Expr::And(vec![is, Expr::Binary(Binary::In, Box::new((of, within)))])
    }

    fn set(&mut self, elements: &[Arc<pst::Expr>], depth: usize) -> Expr {
        let elements: Vec<_> = elements
            .iter()
            .map(|element| self.expr(element, depth + 1))
            .collect();
        let constants = elements.iter().map(constant).collect::<Option<Vec<_>>>();
        match constants {
            Some(constants) => Expr::Constant(Datum::set(constants)),
            None => Expr::Set(elements),
        }
    }

    fn record(&mut self, fields: &BTreeMap<String, Arc<pst::Expr>>, depth: usize) -> Expr {
        let fields = fields
            .iter()
            .map(|(name, field)| (name.as_str().into(), self.expr(field, depth + 1)));
        Expr::Record(fields.collect())
    }

    fn unsupported(&mut self, what: &str) -> Expr {
        let message = format!("`{what}` is not part of the policy language here");
        let remedy = "see docs/reference/policy-language.md for what is; entities have no tags";
        self.fault(what, message, remedy);
        Expr::Constant(Datum::Bool(false))
    }
}

fn constant(expr: &Expr) -> Option<Datum<'static>> {
    if let Expr::Constant(datum) = expr {
        return Some(datum.clone());
    }
    None
}
