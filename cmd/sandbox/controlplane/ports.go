// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"syscall"
)

// loopback is the only address the sandbox listens on.
const loopback = "127.0.0.1"

// Ports are where the programs listen on loopback. A port left at 0 is chosen among the free ones.
type Ports struct {
	APIServer         int
	Etcd              int
	EtcdPeer          int
	ControllerManager int
	Scheduler         int
}

// PortInUseError says that another program holds a port that was asked for.
type PortInUseError struct {
	Port int
	// User is what wanted it.
	User string
}

// Error says what to do about it.
func (e *PortInUseError) Error() string {
	return fmt.Sprintf("port %d, wanted for %s, is in use on %s: stop the program that listens there (`ss -ltnp` names it), or choose another port",
		e.Port, e.User, loopback)
}

// choose fills in the ports that were left out and refuses a port that another program holds. All
// are held until the last one is chosen, or two could get the same.
func (p Ports) choose(ctx context.Context) (_ Ports, err error) {
	var held []net.Listener
	defer func() {
		for _, listener := range held {
			err = errors.Join(err, listener.Close())
		}
	}()
	for _, wish := range []struct {
		port *int
		user string
	}{
		{&p.APIServer, "kube-apiserver"},
		{&p.Etcd, "etcd's clients"},
		{&p.EtcdPeer, "etcd's peers"},
		{&p.ControllerManager, "kube-controller-manager"},
		{&p.Scheduler, "kube-scheduler"},
	} {
		listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort(loopback, strconv.Itoa(*wish.port)))
		if errors.Is(err, syscall.EADDRINUSE) {
			return Ports{}, &PortInUseError{Port: *wish.port, User: wish.user}
		}
		if err != nil {
			return Ports{}, fmt.Errorf("trying port %d for %s: %w", *wish.port, wish.user, err)
		}
		held = append(held, listener)
		if address, ok := listener.Addr().(*net.TCPAddr); ok {
			*wish.port = address.Port
		}
	}
	return p, nil
}
