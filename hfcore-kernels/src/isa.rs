//! Which instruction set the kernels use, decided once per process.

use std::sync::OnceLock;

/// An instruction set that this CPU was seen to have.
///
/// Other than `Scalar`, a value is a proof: the payloads are made only by detection. The sets of one
/// architecture contain each other in the order in which they stand here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Isa {
    /// What every CPU of the target has.
    Scalar,
    /// `avx2`, `fma` and `f16c`: x86-64 since 2013.
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    /// `avxvnni` besides: products of bytes on CPUs without AVX-512, Alder Lake and later.
    #[cfg(target_arch = "x86_64")]
    AvxVnni(AvxVnni),
    /// `avx512{f,bw,dq,vl}`: Skylake-X and later.
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
    /// `avx512vnni` besides: products of bytes, Ice Lake and later.
    #[cfg(target_arch = "x86_64")]
    Avx512Vnni(Avx512Vnni),
    /// `avx512bf16` besides: products of `bf16`, Cooper Lake, Zen 4 and later.
    #[cfg(target_arch = "x86_64")]
    Avx512Bf16(Avx512Bf16),
    /// `amx-{tile,bf16,int8}` besides, and the system's permission to use it: Sapphire Rapids and later.
    #[cfg(target_arch = "x86_64")]
    Amx(Amx),
    /// `neon`: every 64-bit ARM.
    #[cfg(target_arch = "aarch64")]
    Neon(Neon),
    /// `dotprod` besides: products of bytes, Cortex-A75, Apple M1, Graviton 2 and later.
    #[cfg(target_arch = "aarch64")]
    NeonDotprod(NeonDotprod),
    /// `i8mm` besides: matrix products of bytes, Apple M2, Graviton 3 and later.
    #[cfg(target_arch = "aarch64")]
    NeonI8mm(NeonI8mm),
    /// `bf16` besides: matrix products of `bf16`, Apple M2, Graviton 3 and later.
    #[cfg(target_arch = "aarch64")]
    NeonBf16(NeonBf16),
}

/// The vectors of an [`Isa`], which is all that most operations care about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Vectors {
    Scalar,
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
    #[cfg(target_arch = "aarch64")]
    Neon(Neon),
}

/// A proof type for each set: how it is detected, and which sets it contains.
macro_rules! proofs {
    ($arch:literal, $detected:ident: $($(#[$m:meta])* $name:ident $features:tt contains $contains:tt;)+) => {$(
        $(#[$m])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[cfg(target_arch = $arch)]
        pub struct $name(());

        #[cfg(target_arch = $arch)]
        impl $name {
            /// `Some` where this CPU has every feature of the set.
            #[must_use]
            pub fn new() -> Option<Self> {
                proofs!(@all $detected $features).then_some(Self(()))
            }
        }

        proofs!(@contains $arch $name $contains);
    )+};
    (@all $detected:ident ($($feature:tt)+)) => { true $(&& std::arch::$detected!($feature))+ };
    (@contains $arch:literal $name:ident ($($less:ident)*)) => {$(
        #[cfg(target_arch = $arch)]
        impl From<$name> for $less {
            fn from(_: $name) -> Self {
                Self(())
            }
        }
    )*};
}
proofs! { "x86_64", is_x86_feature_detected:
    /** Proof of `avx2`, `fma` and `f16c`. */
    Avx2 ("avx2" "fma" "f16c") contains ();
    /** Proof of `avxvnni` and what [`Avx2`] proves. */
    AvxVnni ("avxvnni" "avx2" "fma" "f16c") contains (Avx2);
    /** Proof of `avx512f`, `avx512bw`, `avx512dq`, `avx512vl` and what [`Avx2`] proves. */
    Avx512 ("avx512f" "avx512bw" "avx512dq" "avx512vl" "avx2" "fma" "f16c") contains (Avx2);
    /** Proof of `avx512vnni` and what [`Avx512`] proves. */
    Avx512Vnni ("avx512vnni" "avx512f" "avx512bw" "avx512dq" "avx512vl" "avx2" "fma" "f16c")
        contains (Avx2 Avx512);
    /** Proof of `avx512bf16` and what [`Avx512Vnni`] proves. */
    Avx512Bf16 ("avx512bf16" "avx512vnni" "avx512f" "avx512bw" "avx512dq" "avx512vl" "avx2" "fma" "f16c")
        contains (Avx2 Avx512 Avx512Vnni);
}
proofs! { "aarch64", is_aarch64_feature_detected:
    /** Proof of `neon`. */
    Neon ("neon") contains ();
    /** Proof of `dotprod` and `neon`. */
    NeonDotprod ("dotprod" "neon") contains (Neon);
    /** Proof of `i8mm`, `dotprod` and `neon`. */
    NeonI8mm ("i8mm" "dotprod" "neon") contains (Neon NeonDotprod);
    /** Proof of `bf16`, `i8mm`, `dotprod` and `neon`. */
    NeonBf16 ("bf16" "i8mm" "dotprod" "neon") contains (Neon NeonDotprod NeonI8mm);
}

/// Proof of `amx-tile`, `amx-bf16`, `amx-int8`, of the system's permission to use them, and of what
/// [`Avx512Bf16`] proves.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Amx(());

#[cfg(target_arch = "x86_64")]
impl Amx {
    /// `Some` where this CPU has every feature of the set and the system lets this process use it.
    #[must_use]
    pub fn new() -> Option<Self> {
        (Avx512Bf16::new().is_some() && amx::detected() && amx::permitted()).then_some(Self(()))
    }
}
#[cfg(target_arch = "x86_64")]
proofs!(@contains "x86_64" Amx (Avx2 Avx512 Avx512Vnni Avx512Bf16));

/// AMX, which stable Rust can neither detect nor ask the system for.
#[cfg(target_arch = "x86_64")]
mod amx {
    use std::arch::x86_64::{__cpuid, __cpuid_count};

    /// `amx-bf16`, `amx-tile` and `amx-int8` of leaf 7.
    const FEATURES: u32 = 1 << 22 | 1 << 24 | 1 << 25;
    /// Whether the system uses `xsave`, which keeps the tiles when threads change.
    const OSXSAVE: u32 = 1 << 27;

    pub(super) fn detected() -> bool {
        #[allow(
            unused_unsafe,
            reason = "the function is safe in later versions of Rust"
        )]
        // SAFETY: every CPU of this architecture has the instruction. Leaf 7 exists on all that have AVX-512, which
        // is asked first.
        let (leaf_1, leaf_7) = unsafe { (__cpuid(1), __cpuid_count(7, 0)) };
        leaf_1.ecx & OSXSAVE != 0 && leaf_7.edx & FEATURES == FEATURES
    }

    /// Linux keeps the 8 KiB of the tiles only for processes that asked (5.16 and later); a sandbox may
    /// refuse.
    #[cfg(target_os = "linux")]
    pub(super) fn permitted() -> bool {
        const ARCH_PRCTL: i64 = 158;
        const ARCH_REQ_XCOMP_PERM: u64 = 0x1023;
        const XFEATURE_XTILEDATA: u64 = 18;
        let mut result = ARCH_PRCTL;
        // SAFETY: the call changes nothing but which registers the system keeps for this process. The
        // `syscall` instruction overwrites `rcx` and `r11`, and no memory.
        unsafe {
            std::arch::asm!(
                "syscall",
                inlateout("rax") result,
                in("rdi") ARCH_REQ_XCOMP_PERM,
                in("rsi") XFEATURE_XTILEDATA,
                out("rcx") _,
                out("r11") _,
                options(nostack),
            );
        }
        result == 0
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) fn permitted() -> bool {
        false
    }
}

impl Isa {
    /// Every instruction set this CPU has, slowest first. Tests run each kernel on each.
    pub fn all() -> impl Iterator<Item = Self> {
        let all = [
            Some(Self::Scalar),
            #[cfg(target_arch = "x86_64")]
            Avx2::new().map(Self::Avx2),
            #[cfg(target_arch = "x86_64")]
            AvxVnni::new().map(Self::AvxVnni),
            #[cfg(target_arch = "x86_64")]
            Avx512::new().map(Self::Avx512),
            #[cfg(target_arch = "x86_64")]
            Avx512Vnni::new().map(Self::Avx512Vnni),
            #[cfg(target_arch = "x86_64")]
            Avx512Bf16::new().map(Self::Avx512Bf16),
            #[cfg(target_arch = "x86_64")]
            Amx::new().map(Self::Amx),
            #[cfg(target_arch = "aarch64")]
            Neon::new().map(Self::Neon),
            #[cfg(target_arch = "aarch64")]
            NeonDotprod::new().map(Self::NeonDotprod),
            #[cfg(target_arch = "aarch64")]
            NeonI8mm::new().map(Self::NeonI8mm),
            #[cfg(target_arch = "aarch64")]
            NeonBf16::new().map(Self::NeonBf16),
        ];
        all.into_iter().flatten()
    }

    /// Every instruction set that kernels can be tested on: all that this CPU has, and AMX where an
    /// emulator of its instructions can stand in for it.
    #[cfg(test)]
    pub(crate) fn tested() -> impl Iterator<Item = Self> {
        let emulated: Option<Self> = None;
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        let emulated = emulated.or_else(|| {
            let wanted = Amx::new().is_none() && Avx512Bf16::new().is_some();
            (wanted && crate::amx::emulator::install()).then_some(Self::Amx(Amx(())))
        });
        Self::all().chain(emulated)
    }

    /// The one to use unless told otherwise: the fastest, or the one that `HFCORE_ISA` names.
    ///
    /// A name that this CPU does not have falls back to the next slower one it has, so that a
    /// deployment's setting never makes a program fail; `hfcore inspect` prints what was chosen.
    pub fn get() -> Self {
        static ISA: OnceLock<Isa> = OnceLock::new();
        *ISA.get_or_init(|| Self::named(std::env::var("HFCORE_ISA").ok().as_deref()))
    }

    /// The set of this name, or the next slower one that this CPU has; the fastest if no set has the name.
    fn named(name: Option<&str>) -> Self {
        let rank = name.and_then(|name| Self::NAMES.iter().position(|n| *n == name));
        let allowed = |isa: &Self| rank.is_none_or(|rank| isa.rank() <= rank);
        Self::all().filter(allowed).last().unwrap_or(Self::Scalar)
    }

    /// The values of `HFCORE_ISA`. A set never contains one that stands behind it.
    pub const NAMES: [&'static str; 11] = [
        "scalar",
        "avx2",
        "avxvnni",
        "avx512",
        "avx512vnni",
        "avx512bf16",
        "amx",
        "neon",
        "dotprod",
        "i8mm",
        "bf16",
    ];

    /// The value of `HFCORE_ISA` that names this one.
    #[must_use]
    pub const fn name(self) -> &'static str {
        Self::NAMES[self.rank()]
    }

    const fn rank(self) -> usize {
        match self {
            Self::Scalar => 0,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => 1,
            #[cfg(target_arch = "x86_64")]
            Self::AvxVnni(_) => 2,
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(_) => 3,
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vnni(_) => 4,
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Bf16(_) => 5,
            #[cfg(target_arch = "x86_64")]
            Self::Amx(_) => 6,
            #[cfg(target_arch = "aarch64")]
            Self::Neon(_) => 7,
            #[cfg(target_arch = "aarch64")]
            Self::NeonDotprod(_) => 8,
            #[cfg(target_arch = "aarch64")]
            Self::NeonI8mm(_) => 9,
            #[cfg(target_arch = "aarch64")]
            Self::NeonBf16(_) => 10,
        }
    }

    /// The vectors that operations on `f32` numbers use.
    pub(crate) fn vectors(self) -> Vectors {
        match self {
            Self::Scalar => Vectors::Scalar,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(proof) => Vectors::Avx2(proof),
            #[cfg(target_arch = "x86_64")]
            Self::AvxVnni(proof) => Vectors::Avx2(proof.into()),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(proof) => Vectors::Avx512(proof),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vnni(proof) => Vectors::Avx512(proof.into()),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Bf16(proof) => Vectors::Avx512(proof.into()),
            #[cfg(target_arch = "x86_64")]
            Self::Amx(proof) => Vectors::Avx512(proof.into()),
            #[cfg(target_arch = "aarch64")]
            Self::Neon(proof) => Vectors::Neon(proof),
            #[cfg(target_arch = "aarch64")]
            Self::NeonDotprod(proof) => Vectors::Neon(proof.into()),
            #[cfg(target_arch = "aarch64")]
            Self::NeonI8mm(proof) => Vectors::Neon(proof.into()),
            #[cfg(target_arch = "aarch64")]
            Self::NeonBf16(proof) => Vectors::Neon(proof.into()),
        }
    }
}

/// Compile one safe body for every instruction set, and pick by an [`Isa`] value.
///
/// The body must be `#[inline(always)]`, so that it is compiled *inside* the
/// `#[target_feature]` functions; its loops are then vectorised for each.
macro_rules! multiversion {
    ($(#[$m:meta])* $vis:vis fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? = $body:path) => {
        $(#[$m])*
        $vis fn $name(isa: $crate::isa::Isa, $($arg: $ty),*) $(-> $ret)? {
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,f16c")]
            fn avx2($($arg: $ty),*) $(-> $ret)? { $body($($arg),*) }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
            fn avx512($($arg: $ty),*) $(-> $ret)? { $body($($arg),*) }
            match isa.vectors() {
                $crate::isa::Vectors::Scalar => $body($($arg),*),
                // It is part of the target: the plain body is compiled for it already.
                #[cfg(target_arch = "aarch64")]
                $crate::isa::Vectors::Neon(_) => $body($($arg),*),
                #[cfg(target_arch = "x86_64")]
                $crate::isa::Vectors::Avx2(_) => {
                    // SAFETY: an `Avx2` exists only where the CPU has these features.
                    unsafe { avx2($($arg),*) }
                }
                #[cfg(target_arch = "x86_64")]
                $crate::isa::Vectors::Avx512(_) => {
                    // SAFETY: an `Avx512` exists only where the CPU has these features.
                    unsafe { avx512($($arg),*) }
                }
            }
        }
    };
}
#[allow(
    unused_imports,
    reason = "used by the kernels of every instruction set"
)]
pub(crate) use multiversion;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_means_itself_or_the_next_slower_set() {
        for isa in Isa::all() {
            assert_eq!(Isa::named(Some(isa.name())), isa);
        }
        let fastest = Isa::all().last().unwrap();
        assert_eq!(Isa::named(None), fastest);
        assert_eq!(Isa::named(Some("mmx")), fastest);
        let names: Vec<&str> = Isa::all().map(Isa::name).collect();
        for absent in Isa::NAMES.iter().filter(|name| !names.contains(name)) {
            let rank = Isa::named(Some(absent)).rank();
            assert!(Isa::NAMES[rank] != *absent && rank < Isa::NAMES.len());
        }
    }
}
