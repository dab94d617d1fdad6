//! The gateway with the hospital behind it, both as programs.

#[cfg(test)]
mod demo;
#[cfg(test)]
mod place;
#[cfg(test)]
mod start;
