//! L8: the sub-commands of the program, one a file.

pub mod cdr;
pub mod check;
pub mod demo;
pub mod explain;
pub mod init;
pub mod run;
pub mod sim;
