//! Builds the few lines of C that give libsrtp2's calls a face without its structures, if the feature `peers` asks for it.

fn main() {
    println!("cargo::rerun-if-changed=benches/srtp/libsrtp2.c");
    #[cfg(feature = "peers")]
    {
        cc::Build::new().file("benches/srtp/libsrtp2.c").warnings(true).compile("glare_libsrtp2");
        println!("cargo::rustc-link-lib=srtp2");
    }
}
