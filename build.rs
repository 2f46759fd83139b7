//! Makes cargo rebuild the binary when a migration changes.

fn main() {
    // A macro reads the migrations at compile time, which cargo cannot know.
    println!("cargo:rerun-if-changed=migrations");
}
