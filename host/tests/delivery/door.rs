//! The receiving end of a wire: what a node is asked for at its door is numbered and planned as
//! what a node asks for.

use std::sync::Arc;

use ferryway_core::{
    Operation, async_trait,
    reception::{Door, Listener, Listening, Rebuff, Reception, Visitor},
    transport::{ConfigFault, Result, Session},
};

use crate::wire::Wire;

/// The door of a receiving node: what it is asked for goes through the wire.
pub struct WireListener {
    pub wire: Wire,
    pub inner: Arc<dyn Listener>,
}

struct WireReception {
    wire: Wire,
    inner: Arc<dyn Reception>,
}

#[async_trait]
impl Listener for WireListener {
    fn check_config(&self, settings: &toml::Table) -> Vec<ConfigFault> {
        self.inner.check_config(settings)
    }

    async fn listen(
        &self,
        door: Door,
        reception: Arc<dyn Reception>,
    ) -> Result<Box<dyn Listening>> {
        let reception = WireReception { wire: self.wire.clone(), inner: reception };
        self.inner.listen(door, Arc::new(reception)).await
    }
}

#[async_trait]
impl Reception for WireReception {
    async fn admit(&self, visitor: Visitor) -> Result<Box<dyn Session>> {
        let mut planned = self.wire.begin(Operation::Connect, "", None);
        planned.before().await?;
        let result = self.inner.admit(visitor).await;
        let inner = planned.after(result).await?;
        Ok(self.wire.session(None, inner))
    }

    fn turned_away(&self, rebuff: Rebuff) {
        self.inner.turned_away(rebuff);
    }
}
