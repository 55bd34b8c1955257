//! Ports of programs that cannot tell which one the kernel picked.

use std::net::SocketAddr;

use socket2::{Domain, Socket, Type};

/// A port that nobody else gets while this lives. It is bound and does not
/// listen, which keeps it from the kernel's own choices and lets a server that
/// sets SO_REUSEADDR, as all of them do, bind it beside.
pub struct Port {
    _socket: Socket,
    pub number: u16,
}

impl Port {
    pub fn reserve() -> Port {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.set_reuse_address(true).expect("SO_REUSEADDR");
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("a free port");
        let number = socket.local_addr().ok().and_then(|a| a.as_socket()).expect("its address").port();
        Port { _socket: socket, number }
    }

    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.number))
    }
}
