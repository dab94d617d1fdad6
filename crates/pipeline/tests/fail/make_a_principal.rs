//~ E0624
fn main() {
    let _ = identity::Principal::vouch;
}
