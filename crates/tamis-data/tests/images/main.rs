//! Decodes small pictures of each kind and looks at everything that comes out.

#[cfg(test)]
mod common;
#[cfg(test)]
mod damage;
#[cfg(test)]
mod facts;
#[cfg(test)]
mod pixels;
