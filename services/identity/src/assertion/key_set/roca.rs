//! Tells the RSA keys that a widespread chip made of too little chance, and whose private half can be
//! computed from the public one (CVE-2017-15361, "ROCA").
//!
//! Each of their primes is a power of 65537 modulo each of the first primes, and so is the modulus.
//! That is true of one other modulus in 2²⁷. Source: Nemec and others, "The Return of Coppersmith's
//! Attack", 2017, section 2.2.

/// The first odd primes, of which the chip used more the longer its keys were.
const PRIMES: [u32; 38] = [
    3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97,
    101, 103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
];

/// Returns whether a modulus, in big-endian bytes, is one of that chip's.
pub(super) fn is_of_weak_chip(modulus: &[u8]) -> bool {
    PRIMES.iter().all(|prime| {
        let step = |remainder, byte: &u8| (remainder * 256 + u32::from(*byte)) % prime;
        is_power(modulus.iter().fold(0, step), *prime)
    })
}

/// Returns whether a remainder is a power of 65537 modulo a prime.
fn is_power(remainder: u32, prime: u32) -> bool {
    let powers = std::iter::successors(Some(1), |power| Some(power * 65_537 % prime));
    powers.take(prime as usize).any(|power| power == remainder)
}
