//! The service itself, as PID 1 runs it: started, killed, fed, and its files read.

#[cfg(test)]
mod floods;
#[cfg(test)]
mod kills;
#[cfg(test)]
mod machine;
#[cfg(test)]
mod outages;
