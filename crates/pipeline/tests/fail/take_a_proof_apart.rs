//~ E0451
use pipeline::{Passed, decide::Authorized};
fn main() {
    let _ = |call: Passed<Authorized>| {
        let Passed { before: _, proof } = call;
        proof
    };
}
