// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package process

import "syscall"

// attributes gives the child a group of its own, so that Ctrl-C in the terminal reaches only the
// sandbox and children end in order, and has the kernel kill it when the sandbox is killed.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
