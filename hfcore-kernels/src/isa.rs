//! Which instruction set the kernels use, decided once per process.

use std::sync::OnceLock;

/// An instruction set that this CPU was seen to have.
///
/// Other than `Scalar`, a value is a proof: the payloads are made only by detection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Isa {
    /// What every CPU of the target has.
    Scalar,
    /// `avx2`, `fma` and `f16c`: x86-64 since 2013.
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    /// `avx512{f,bw,dq,vl}` besides: Skylake-X, Zen 4 and later.
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
}

macro_rules! proof {
    ($(#[$m:meta])* $name:ident, $($feature:tt)+) => {
        $(#[$m])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[cfg(target_arch = "x86_64")]
        pub struct $name(());

        #[cfg(target_arch = "x86_64")]
        impl $name {
            /// `Some` where this CPU has every feature of the set.
            #[must_use]
            pub fn new() -> Option<Self> {
                (true $(&& std::is_x86_feature_detected!($feature))+).then_some(Self(()))
            }
        }
    };
}
proof!(/** Proof of `avx2`, `fma` and `f16c`. */ Avx2, "avx2" "fma" "f16c");
proof!(/** Proof of `avx512f`, `avx512bw`, `avx512dq`, `avx512vl` and what [`Avx2`] proves. */
    Avx512, "avx512f" "avx512bw" "avx512dq" "avx512vl" "avx2" "fma" "f16c");

impl Isa {
    /// Every instruction set this CPU has, slowest first. Tests run each kernel on each.
    pub fn all() -> impl Iterator<Item = Self> {
        let all = [
            Some(Self::Scalar),
            #[cfg(target_arch = "x86_64")]
            Avx2::new().map(Self::Avx2),
            #[cfg(target_arch = "x86_64")]
            Avx512::new().map(Self::Avx512),
        ];
        all.into_iter().flatten()
    }

    /// The one to use unless told otherwise: the fastest, or the one that `HFCORE_ISA` names.
    ///
    /// A name that this CPU does not have falls back to the next slower one it has, so that a
    /// deployment's setting never makes a program fail; `hfcore inspect` prints what was chosen.
    pub fn get() -> Self {
        static ISA: OnceLock<Isa> = OnceLock::new();
        *ISA.get_or_init(|| match std::env::var("HFCORE_ISA").ok().as_deref() {
            Some("scalar") => Self::Scalar,
            Some("avx2") => Self::all()
                .filter(|isa| isa.name() != "avx512")
                .last()
                .unwrap_or(Self::Scalar),
            _ => Self::all().last().unwrap_or(Self::Scalar),
        })
    }

    /// `scalar`, `avx2` or `avx512`: the values of `HFCORE_ISA`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => "avx2",
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(_) => "avx512",
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
            match isa {
                $crate::isa::Isa::Scalar => $body($($arg),*),
                #[cfg(target_arch = "x86_64")]
                $crate::isa::Isa::Avx2(_) => {
                    // SAFETY: an `Avx2` exists only where the CPU has these features.
                    unsafe { avx2($($arg),*) }
                }
                #[cfg(target_arch = "x86_64")]
                $crate::isa::Isa::Avx512(_) => {
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
