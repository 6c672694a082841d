// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build unix && !linux

package process

import "syscall"

// attributes gives the child a group of its own, so that Ctrl-C in the terminal reaches only the
// sandbox and children end in order. Only Linux can tie a child's life to its parent's: elsewhere
// children of a sandbox that was killed with SIGKILL have to be ended by hand.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
