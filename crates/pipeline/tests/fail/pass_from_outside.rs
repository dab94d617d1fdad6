//~ E0624
use pipeline::{Passed, Ready, decide::Limited};
fn main() {
    let _ = |call: Ready<Limited>, proof: Limited| Passed::pass(call, proof);
}
