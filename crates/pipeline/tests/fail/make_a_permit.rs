//~ E0624
fn main() {
    let _ = policy::Permit::vouch(Vec::new(), Vec::new());
}
