//! `flatten`: nothing at all, since dense layers take all numbers of a sample; it counts where PyTorch's `nn.Flatten` stands, so
//! that the layers behind it get the same names.

use super::tensor::Site;
use super::text::Call;
use super::traits::Layer;
use crate::math::Shape;
use std::convert::Infallible;
use std::fmt;

#[derive(Clone, Debug, PartialEq)]
pub struct FlattenLayer;

impl Layer for FlattenLayer {
    type Op = Infallible;

    fn usage() -> String {
        "flatten".into()
    }

    fn parse(call: &Call) -> Result<Option<Self>, String> {
        Ok((call.name() == "flatten" && call.numbers(&[]) == Some(&[])).then_some(Self))
    }

    fn place(&self, _: &mut Site) -> Result<Option<(Infallible, Shape)>, String> {
        Ok(None)
    }
}

impl fmt::Display for FlattenLayer {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("flatten")
    }
}
