//~ E0423
use pipeline::decide::Approved;
fn main() {
    let _ = Approved(());
}
