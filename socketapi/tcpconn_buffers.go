package socketapi

// State is the connection's state now. It may be asked after Close.
func (c *TCPConn) State() State {
	if !c.valid() {
		return Closed
	}
	return stateOf(c.so.tcp().EndpointState())
}

// Buffers looks at both buffers at the same instant. It may be asked after
// Close: what was written before is still on its way.
func (c *TCPConn) Buffers() (SendBuffer, ReceiveBuffer) {
	if !c.valid() {
		return SendBuffer{}, ReceiveBuffer{}
	}
	return c.so.Buffers()
}

// SendBuffer looks at the send buffer. The numbers are of one instant.
func (c *TCPConn) SendBuffer() SendBuffer { s, _ := c.Buffers(); return s }

// ReceiveBuffer looks at the receive buffer. The numbers are of one instant.
func (c *TCPConn) ReceiveBuffer() ReceiveBuffer { _, r := c.Buffers(); return r }
