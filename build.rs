//! Tells cargo what else the binary is made of.

fn main() {
    // The migrations are read by a macro, which cargo does not see.
    println!("cargo:rerun-if-changed=migrations");
}
