//! The service itself, run as PID 1 runs it: started, killed, given input, and its files read.

#[cfg(test)]
mod floods;
#[cfg(test)]
mod kills;
#[cfg(test)]
mod machine;
#[cfg(test)]
mod outages;
