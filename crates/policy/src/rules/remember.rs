//! Attribute paths that several rules read, such as `context.labels.level`, looked up once per call.
//!
//! When a rule set is made, the paths it reads most often get a number each; a call keeps what it found under
//! that number. So a rule more on the same facts costs a comparison, not a walk.

use std::{cell::OnceCell, collections::HashMap, sync::Arc};

use super::{
    evaluate::Failure,
    expr::{Expr, Variable},
    rule::Rule,
    view::Seen,
};

/// Most paths remembered per variable; a call pays for the room.
const REMEMBERED_MAX: usize = 64;

/// A path that has a number.
#[derive(Clone, Debug)]
pub(super) struct Remembered {
    pub(super) variable: Variable,
    pub(super) number: usize,
    /// The path itself.
    pub(super) path: Expr,
    /// The member of `context` it begins with, if it begins with one.
    pub(super) of_context: Option<Arc<str>>,
}

/// How many paths have a number, per variable.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Numbered {
    pub(super) context: usize,
    pub(super) principal: usize,
    pub(super) resource: usize,
}

/// What was found under each number.
#[derive(Debug)]
pub(super) struct Found<'a>(Vec<OnceCell<Result<Seen<'a>, Failure>>>);

impl<'a> Found<'a> {
    pub(super) fn nothing(numbered: usize) -> Self {
        Self((0..numbered).map(|_| OnceCell::new()).collect())
    }

    /// What was found under a number, or else what `look` finds. Looking must not come back here.
    pub(super) fn recall(
        &self,
        number: usize,
        look: impl FnOnce() -> Result<Seen<'a>, Failure>,
    ) -> Option<&Result<Seen<'a>, Failure>> {
        self.0.get(number).map(|cell| cell.get_or_init(look))
    }
}

/// Numbers the paths of all rules and puts the numbers into them.
pub(super) fn number(rules: &mut [Rule]) -> Numbered {
    let mut uses: HashMap<Path, usize> = HashMap::new();
    for condition in rules.iter().flat_map(|rule| &rule.conditions) {
        count(&condition.expr, &mut uses);
    }
    let mut often: Vec<(usize, Path)> = uses
        .into_iter()
        .filter(|(_, uses)| *uses > 1)
        .map(|(path, uses)| (uses, path))
        .collect();
    often.sort_by(|(a, x), (b, y)| b.cmp(a).then_with(|| x.cmp(y)));
    let mut numbered = Numbered::default();
    let mut numbers: HashMap<Path, usize> = HashMap::new();
    for (_, path) in often {
        let Some(next) = numbered.of(path.0) else {
            continue;
        };
        if *next < REMEMBERED_MAX {
            numbers.insert(path, *next);
            *next += 1;
        }
    }
    for condition in rules.iter_mut().flat_map(|rule| &mut rule.conditions) {
        put(&mut condition.expr, &numbers);
    }
    numbered
}

/// A variable and the attributes after it.
type Path = (Variable, Vec<Arc<str>>);

impl Numbered {
    fn of(&mut self, variable: Variable) -> Option<&mut usize> {
        match variable {
            Variable::Action => None,
            Variable::Context => Some(&mut self.context),
            Variable::Principal => Some(&mut self.principal),
            Variable::Resource => Some(&mut self.resource),
        }
    }
}

fn count(expr: &Expr, uses: &mut HashMap<Path, usize>) {
    match path(expr) {
        Some(path) => *uses.entry(path).or_default() += 1,
        None => expr.parts(&mut |part| count(part, uses)),
    }
}

fn put(expr: &mut Expr, numbers: &HashMap<Path, usize>) {
    let Some(path) = path(expr) else {
        expr.parts_mut(&mut |part| put(part, numbers));
        return;
    };
    if let Some(number) = numbers.get(&path) {
        let (variable, names) = path;
        let of_context = names.first().filter(|_| variable == Variable::Context);
        *expr = Expr::Remembered(Box::new(Remembered {
            variable,
            number: *number,
            path: expr.clone(),
            of_context: of_context.cloned(),
        }));
    }
}

fn path(expr: &Expr) -> Option<Path> {
    let Expr::Get(of, name) = expr else {
        return None;
    };
    let (variable, mut names) = if let Expr::Variable(variable) = of.as_ref() {
        (*variable, Vec::new())
    } else {
        path(of)?
    };
    names.push(Arc::clone(name));
    Some((variable, names))
}
