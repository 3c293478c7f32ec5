//! What linkers need to know of the shared library.

fn main() {
    let target = |what: &str| std::env::var(format!("CARGO_CFG_TARGET_{what}")).unwrap_or_default();
    match target("OS").as_str() {
        "linux" => {
            println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libneedle_rs.so.0");
            only_own_symbols();
        }
        "android" => {
            // Android 15 loads only libraries that are aligned to its pages of 16 KB.
            println!("cargo:rustc-cdylib-link-arg=-Wl,-z,max-page-size=16384");
            only_own_symbols();
        }
        "macos" | "ios" => {
            println!("cargo:rustc-cdylib-link-arg=-Wl,-install_name,@rpath/libneedle_rs.0.dylib");
        }
        _ => {}
    }
    println!("cargo:rerun-if-changed=build.rs");
}

/// A dependency has a C interface of its own, which could clash with the host's copy of it.
fn only_own_symbols() {
    println!("cargo:rustc-cdylib-link-arg=-Wl,--exclude-libs,ALL");
}
