//~ E0624
fn main() {
    let _ = |arrival: pipeline::Arrival| pipeline::Received::new(arrival);
}
