//! The tile instructions, carried out by software where the CPU does not know them.
//!
//! An instruction that a CPU does not know raises `SIGILL`. The handler here reads the one at the
//! program counter, does what the manual says on tiles of the thread, and goes on behind it. So every
//! kernel for AMX is run by the tests on every machine with AVX-512, instruction by instruction; all
//! that is left to machines with AMX is how long it takes.
//!
//! A signal takes some microseconds, hundreds of instructions. So the handler goes on with what follows,
//! for as long as it knows it: other tile instructions, and the counting of the loops around them.
//!
//! Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2: `LDTILECFG`, `TILERELEASE`,
//! `TILEZERO`, `TILELOADD[T1]`, `TILESTORED`, `TDPBF16PS`, `TDPB[SS,SU,US,UU]D`.
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "registers are addresses here, which are 64 bits wide, and test data are small"
)]

use std::arch::x86_64::*;
use std::cell::UnsafeCell;
use std::sync::OnceLock;

use libc::{c_int, c_void, siginfo_t, ucontext_t};

use super::{ROW, ROWS};

/// What AMX adds to a thread.
struct State {
    /// Rows, and bytes per row, of each tile; all zero without a configuration.
    shapes: [(usize, usize); 8],
    tiles: [[[u8; ROW]; ROWS]; 8],
}

const INITIAL: State = State {
    shapes: [(0, 0); 8],
    tiles: [[[0; ROW]; ROWS]; 8],
};

thread_local! {
    static STATE: UnsafeCell<State> = const { UnsafeCell::new(INITIAL) };
}

/// Handle the instructions from now on. Whether that can be done.
pub(crate) fn install() -> bool {
    static INSTALLED: OnceLock<bool> = OnceLock::new();
    *INSTALLED.get_or_init(|| {
        // SAFETY: all zeros is a `sigaction` without flags that blocks no signals.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        action.sa_sigaction = handle as *const () as usize;
        // On the stack of the thread: alternate ones are too small.
        action.sa_flags = libc::SA_SIGINFO;
        // SAFETY: `action` is whole, and its handler has the signature that `SA_SIGINFO` asks for.
        unsafe { libc::sigaction(libc::SIGILL, &raw const action, std::ptr::null_mut()) == 0 }
    })
}

extern "C" fn handle(_: c_int, _: *mut siginfo_t, context: *mut c_void) {
    // SAFETY: the system gives a handler with `SA_SIGINFO` a context, which is its own for as long as it runs.
    let context = unsafe { &mut *context.cast::<ucontext_t>() };
    let registers = &mut context.uc_mcontext.gregs;
    let done = STATE.with(|state| {
        // SAFETY: the state is of this thread, and nothing here raises the signal again.
        let state = unsafe { &mut *state.get() };
        let done = step(state, registers);
        if done.is_some() {
            while count(registers)
                .or_else(|| step(state, registers))
                .is_some()
            {}
        }
        done
    });
    if done.is_none() {
        // Not one of these: let the instruction raise the signal again, and end the process.
        // SAFETY: the default action needs no handler.
        unsafe { libc::signal(libc::SIGILL, libc::SIG_DFL) };
    }
}

/// The general registers in the order of their numbers in instructions.
const REGISTERS: [c_int; 16] = [
    libc::REG_RAX,
    libc::REG_RCX,
    libc::REG_RDX,
    libc::REG_RBX,
    libc::REG_RSP,
    libc::REG_RBP,
    libc::REG_RSI,
    libc::REG_RDI,
    libc::REG_R8,
    libc::REG_R9,
    libc::REG_R10,
    libc::REG_R11,
    libc::REG_R12,
    libc::REG_R13,
    libc::REG_R14,
    libc::REG_R15,
];

const RIP: usize = libc::REG_RIP as usize;
const FLAGS: usize = libc::REG_EFL as usize;
/// The flag that says that a result is zero.
const ZERO: u32 = 6;

/// The bytes of an instruction, read one after the other.
struct Code(usize);

impl Code {
    fn byte(&mut self) -> u8 {
        // SAFETY: the CPU has read the instruction from here.
        let byte = unsafe { *(self.0 as *const u8) };
        self.0 += 1;
        byte
    }

    fn word(&mut self) -> i32 {
        i32::from_le_bytes([self.byte(), self.byte(), self.byte(), self.byte()])
    }
}

/// An operand in memory: its address, and what is in the index register, which is a distance of rows.
struct Memory {
    address: usize,
    stride: usize,
}

/// Carry out the instruction at the program counter. `None` if it is not one of those known here, or one
/// that the CPU would refuse.
fn step(state: &mut State, registers: &mut [i64; 23]) -> Option<()> {
    let mut code = Code(registers[RIP] as usize);
    // VEX in three bytes: of the second, inverted, the upper bits of the three registers, and the map.
    if code.byte() != 0xc4 {
        return None;
    }
    let (first, second) = (code.byte(), code.byte());
    let upper = |bit: u32| usize::from(!first >> bit & 1) << 3;
    let [reg_upper, index_upper, base_upper] = [upper(7), upper(6), upper(5)];
    // Map 0f38, no wide form, vectors of 128 bits.
    if first & 0x1f != 2 || second & 0x84 != 0 {
        return None;
    }
    let third_operand = usize::from(!second >> 3 & 0xf);
    let prefix = second & 3;
    let opcode = code.byte();
    let form = code.byte();
    let (mode, reg, rm) = (form >> 6, usize::from(form >> 3 & 7), usize::from(form & 7));
    let in_memory = mode != 3;
    if reg_upper != 0 && !(opcode == 0x49 && prefix == 0) {
        return None;
    }
    let memory = if in_memory {
        Some(operand(
            &mut code,
            registers,
            [mode.into(), rm],
            index_upper,
            base_upper,
        )?)
    } else {
        None
    };
    match (opcode, prefix, &memory) {
        (0x49, 0, Some(memory)) if reg == 0 => configure(state, memory)?,
        (0x49, 0, None) if form == 0xc0 => *state = INITIAL,
        (0x49, 3, None) if rm == 0 => {
            let _ = state.shape(reg)?;
            state.tiles[reg] = [[0; ROW]; ROWS];
        }
        // With or without the hint that the data are not needed for long.
        (0x4b, 3 | 1, Some(memory)) if rm == 4 => load(state, reg, memory)?,
        (0x4b, 2, Some(memory)) if rm == 4 => store(state, reg, memory)?,
        (0x5c, 2, None) => multiply(state, [reg, rm, third_operand], bf16_row)?,
        (0x5e, 3, None) => multiply(state, [reg, rm, third_operand], bytes_row::<true, true>)?,
        (0x5e, 2, None) => multiply(state, [reg, rm, third_operand], bytes_row::<true, false>)?,
        (0x5e, 1, None) => multiply(state, [reg, rm, third_operand], bytes_row::<false, true>)?,
        (0x5e, 0, None) => multiply(state, [reg, rm, third_operand], bytes_row::<false, false>)?,
        _ => return None,
    }
    registers[RIP] = code.0 as i64;
    Some(())
}

/// Carry out the instruction at the program counter if it is `add` of a constant to a register of 64 bits,
/// `dec` of one, or `jnz`.
fn count(registers: &mut [i64; 23]) -> Option<()> {
    let mut code = Code(registers[RIP] as usize);
    let first = code.byte();
    let offset = match first {
        0x75 => i64::from(code.byte().cast_signed()),
        0x0f if code.byte() == 0x85 => i64::from(code.word()),
        // A prefix for 64 bits, perhaps with the upper bit of the register.
        0x48 | 0x49 => {
            let (opcode, form) = (code.byte(), code.byte());
            let register = REGISTERS[usize::from(form & 7 | (first & 1) << 3)] as usize;
            let before = registers[register];
            let (change, carries) = match (opcode, form & 0xf8) {
                (0x83, 0xc0) => (i64::from(code.byte().cast_signed()), true),
                (0x81, 0xc0) => (i64::from(code.word()), true),
                (0xff, 0xc8) => (-1, false),
                _ => return None,
            };
            let (after, overflow) = before.overflowing_add(change);
            let (_, carry) = before
                .cast_unsigned()
                .overflowing_add(change.cast_unsigned());
            let mut set = |bit: u32, value: bool| {
                registers[FLAGS] = registers[FLAGS] & !(1 << bit) | i64::from(value) << bit;
            };
            if carries {
                set(0, carry);
            }
            set(2, (after as u8).count_ones().is_multiple_of(2));
            set(4, (before ^ change ^ after) & 16 != 0);
            set(ZERO, after == 0);
            set(7, after < 0);
            set(11, overflow);
            registers[register] = after;
            registers[RIP] = code.0 as i64;
            return Some(());
        }
        _ => return None,
    };
    let taken = registers[FLAGS] >> ZERO & 1 == 0;
    registers[RIP] = code.0 as i64 + if taken { offset } else { 0 };
    Some(())
}

/// An operand in memory, after the byte that says its form.
fn operand(
    code: &mut Code,
    registers: &[i64; 23],
    [mode, rm]: [usize; 2],
    index_upper: usize,
    base_upper: usize,
) -> Option<Memory> {
    let value = |register: usize| registers[REGISTERS[register] as usize] as usize;
    let (mut base, mut index) = (rm, None);
    if rm == 4 {
        let sib = code.byte();
        base = usize::from(sib & 7);
        let register = usize::from(sib >> 3 & 7) | index_upper;
        // The number of the stack pointer stands for no index.
        index = (register != 4).then(|| value(register) << (sib >> 6));
    }
    let (start, displacement) = match (mode, base) {
        (0, 5) if rm == 4 => (0, code.word()),
        (0, 5) => {
            let displacement = code.word();
            (code.0, displacement)
        }
        (0, _) => (value(base | base_upper), 0),
        (1, _) => (
            value(base | base_upper),
            i32::from(code.byte().cast_signed()),
        ),
        (2, _) => (value(base | base_upper), code.word()),
        _ => return None,
    };
    Some(Memory {
        address: start.wrapping_add_signed(displacement as isize),
        stride: index.unwrap_or(0),
    })
}

impl State {
    /// The rows and bytes per row of a tile that is configured.
    fn shape(&self, tile: usize) -> Option<(usize, usize)> {
        self.shapes
            .get(tile)
            .copied()
            .filter(|&shape| shape != (0, 0))
    }
}

fn configure(state: &mut State, memory: &Memory) -> Option<()> {
    // SAFETY: the program says that these are 64 readable bytes.
    let bytes = unsafe { &*(memory.address as *const [u8; 64]) };
    *state = INITIAL;
    let (palette, reserved) = (bytes[0], bytes[1..16].iter().chain(&bytes[32..48]));
    if palette > 1 || reserved.chain(&bytes[56..]).any(|&byte| byte != 0) {
        return None;
    }
    if palette == 1 {
        for tile in 0..8 {
            let row = usize::from(u16::from_le_bytes([
                bytes[16 + 2 * tile],
                bytes[17 + 2 * tile],
            ]));
            let rows = usize::from(bytes[48 + tile]);
            if row > ROW || rows > ROWS || (row == 0) != (rows == 0) {
                return None;
            }
            state.shapes[tile] = (rows, row);
        }
    }
    Some(())
}

fn load(state: &mut State, tile: usize, memory: &Memory) -> Option<()> {
    let (rows, row) = state.shape(tile)?;
    state.tiles[tile] = [[0; ROW]; ROWS];
    for (r, to) in state.tiles[tile][..rows].iter_mut().enumerate() {
        let address = memory.address.wrapping_add(r.wrapping_mul(memory.stride));
        // SAFETY: the program says that these are so many readable bytes.
        let from = unsafe { std::slice::from_raw_parts(address as *const u8, row) };
        to[..row].copy_from_slice(from);
    }
    Some(())
}

fn store(state: &State, tile: usize, memory: &Memory) -> Option<()> {
    let (rows, row) = state.shape(tile)?;
    for (r, from) in state.tiles[tile][..rows].iter().enumerate() {
        let address = memory.address.wrapping_add(r.wrapping_mul(memory.stride));
        // SAFETY: the program says that these are so many writable bytes.
        let to = unsafe { std::slice::from_raw_parts_mut(address as *mut u8, row) };
        to.copy_from_slice(&from[..row]);
    }
    Some(())
}

/// A row of sums, a row of the first factor, as many rows of the second as that has words, and the
/// columns of the sums.
type RowFn = fn(&mut [u8; ROW], &[u8], &[[u8; ROW]; ROWS], usize);

/// The tile `sums` and the product of two others.
fn multiply(state: &mut State, [sums, a, b]: [usize; 3], row: RowFn) -> Option<()> {
    let (shape_sums, shape_a, shape_b) = (state.shape(sums)?, state.shape(a)?, state.shape(b)?);
    let whole = [shape_sums.1, shape_a.1, shape_b.1]
        .iter()
        .all(|bytes| bytes % 4 == 0);
    let agree =
        shape_sums.0 == shape_a.0 && shape_sums.1 == shape_b.1 && shape_a.1 == 4 * shape_b.0;
    if sums == a || sums == b || a == b || !whole || !agree {
        return None;
    }
    let (a, b) = (state.tiles[a], state.tiles[b]);
    for (to, a) in state.tiles[sums].iter_mut().zip(&a).take(shape_sums.0) {
        row(to, &a[..shape_a.1], &b, shape_sums.1 / 4);
        to[shape_sums.1..].fill(0);
    }
    for row in &mut state.tiles[sums][shape_sums.0..] {
        row.fill(0);
    }
    Some(())
}

/// `tdpbf16ps`: two sums for each number, of the even products and of the odd ones, fused and rounded to
/// nearest, denormal numbers taken for zero before and after; both are then added.
fn bf16_row(to: &mut [u8; ROW], a: &[u8], b: &[[u8; ROW]; ROWS], columns: usize) {
    // SAFETY: AMX is emulated where there is AVX-512 alone.
    unsafe { bf16_row_avx512(to, a, b, columns) }
}

#[target_feature(enable = "avx512f,avx512dq")]
fn bf16_row_avx512(to: &mut [u8; ROW], a: &[u8], b: &[[u8; ROW]; ROWS], columns: usize) {
    // SAFETY: rows are 64 readable bytes; `loadu` needs no alignment.
    let load = |row: &[u8; ROW]| unsafe { _mm512_loadu_si512(row.as_ptr().cast()) };
    let even = |words| flush(_mm512_castsi512_ps(_mm512_slli_epi32::<16>(words)));
    let upper = _mm512_set1_epi32(0xffff_0000_u32.cast_signed());
    let odd = |words| flush(_mm512_castsi512_ps(_mm512_and_si512(words, upper)));
    let mut sums = [_mm512_setzero_ps(); 2];
    for (a, b) in a.as_chunks::<4>().0.iter().zip(b) {
        let (a, b) = (_mm512_set1_epi32(i32::from_le_bytes(*a)), load(b));
        sums[0] = flush(_mm512_fmadd_ps(even(a), even(b), sums[0]));
        sums[1] = flush(_mm512_fmadd_ps(odd(a), odd(b), sums[1]));
    }
    let sum = flush(_mm512_add_ps(sums[0], sums[1]));
    let sum = flush(_mm512_add_ps(flush(_mm512_castsi512_ps(load(to))), sum));
    let mask = 0xffff_u16.checked_shr(16 - columns as u32).unwrap_or(0);
    // SAFETY: a row is 64 writable bytes.
    unsafe { _mm512_mask_storeu_ps(to.as_mut_ptr().cast(), mask, sum) };
}

/// Zero in place of denormal numbers.
#[inline]
#[target_feature(enable = "avx512f,avx512dq")]
fn flush(numbers: __m512) -> __m512 {
    const DENORMAL: i32 = 1 << 5;
    let denormal = _mm512_fpclass_ps_mask::<DENORMAL>(numbers);
    _mm512_mask_mov_ps(numbers, denormal, _mm512_setzero_ps())
}

/// `tdpb[su][su]d`: whether the bytes of the first factor, and of the second, have a sign.
fn bytes_row<const A: bool, const B: bool>(
    to: &mut [u8; ROW],
    a: &[u8],
    b: &[[u8; ROW]; ROWS],
    columns: usize,
) {
    fn number<const SIGN: bool>(byte: u8) -> i32 {
        if SIGN {
            byte.cast_signed().into()
        } else {
            byte.into()
        }
    }
    for (a, b) in a.as_chunks::<4>().0.iter().zip(b) {
        for (to, b) in to.as_chunks_mut::<4>().0[..columns]
            .iter_mut()
            .zip(b.as_chunks::<4>().0)
        {
            let mut sum = i32::from_le_bytes(*to);
            for i in 0..4 {
                sum = sum.wrapping_add(number::<A>(a[i]) * number::<B>(b[i]));
            }
            *to = sum.to_le_bytes();
        }
    }
}

#[cfg(test)]
mod tests;
