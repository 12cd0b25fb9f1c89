//! Builds the few lines of C that give libsrtp2's calls a face without its structures, if the feature `libsrtp2` asks for it.

fn main() {
    println!("cargo::rerun-if-changed=benches/srtp/libsrtp2.c");
    #[cfg(feature = "libsrtp2")]
    {
        cc::Build::new().file("benches/srtp/libsrtp2.c").warnings(true).compile("glare_libsrtp2");
        println!("cargo::rustc-link-lib=srtp2");
    }
}
