// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"fmt"
	"path/filepath"
)

// The folders in the state folder.
const (
	etcdFolder       = "etcd"
	pkiFolder        = "pki"
	kubeconfigFolder = "kubeconfig"
	logFolder        = "log"
)

// layout is what the flags of every program are made from.
type layout struct {
	state string
	ports Ports
}

func (l layout) pki(name string) string { return filepath.Join(l.state, pkiFolder, name) }

func (l layout) kubeconfig(user string) string {
	return filepath.Join(l.state, kubeconfigFolder, user+".kubeconfig")
}

func (l layout) log(component Component) string {
	return filepath.Join(l.state, logFolder, string(component)+".log")
}

// flags are the arguments of one program. The sandbox's callers append theirs; of a flag given
// twice the last one counts.
func (l layout) flags(component Component) []string {
	switch component {
	case Etcd:
		return l.etcd()
	case APIServer:
		return l.apiServer()
	case ControllerManager:
		return append(l.apiClient("kube-controller-manager", l.ports.ControllerManager),
			"--use-service-account-credentials=true",
			"--service-account-private-key-file="+l.pki(serviceAccountFile+".key"),
			"--root-ca-file="+l.pki(caFile))
	case Scheduler:
		return l.apiClient("kube-scheduler", l.ports.Scheduler)
	}
	return nil
}

func (l layout) etcd() []string {
	client := fmt.Sprintf("http://%s:%d", loopback, l.ports.Etcd)
	peer := fmt.Sprintf("http://%s:%d", loopback, l.ports.EtcdPeer)
	return []string{
		"--data-dir=" + filepath.Join(l.state, etcdFolder),
		"--listen-client-urls=" + client,
		"--advertise-client-urls=" + client,
		"--listen-peer-urls=" + peer,
		"--initial-advertise-peer-urls=" + peer,
		"--initial-cluster=default=" + peer,
		"--quota-backend-bytes=4294967296",
		"--log-level=warn",
		"--unsafe-no-fsync", // the data is thrown away with the sandbox
	}
}

func (l layout) apiServer() []string {
	return []string{
		fmt.Sprintf("--etcd-servers=http://%s:%d", loopback, l.ports.Etcd),
		"--bind-address=" + loopback,
		"--advertise-address=" + loopback,
		fmt.Sprintf("--secure-port=%d", l.ports.APIServer),
		"--endpoint-reconciler-type=none", // a loopback address is not a valid endpoint
		"--service-cluster-ip-range=" + serviceRange,
		"--authorization-mode=Node,RBAC",
		"--enable-admission-plugins=NodeRestriction",
		"--allow-privileged=true",
		"--client-ca-file=" + l.pki(caFile),
		"--tls-cert-file=" + l.pki(serverName+".crt"),
		"--tls-private-key-file=" + l.pki(serverName+".key"),
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + l.pki(serviceAccountFile+".pub"),
		"--service-account-signing-key-file=" + l.pki(serviceAccountFile+".key"),
		"--requestheader-client-ca-file=" + l.pki(caFile),
		"--requestheader-allowed-names=" + frontProxyName,
		"--requestheader-username-headers=X-Remote-User",
		"--requestheader-group-headers=X-Remote-Group",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--proxy-client-cert-file=" + l.pki(frontProxyName+".crt"),
		"--proxy-client-key-file=" + l.pki(frontProxyName+".key"),
		"--profiling=false",
	}
}

// apiClient are the flags that kube-controller-manager and kube-scheduler share. One of each runs,
// so nothing has to elect a leader, and the default of 20 requests a second would be the bottleneck.
func (l layout) apiClient(user string, port int) []string {
	kubeconfig := l.kubeconfig(user)
	return []string{
		"--kubeconfig=" + kubeconfig,
		"--authentication-kubeconfig=" + kubeconfig,
		"--authorization-kubeconfig=" + kubeconfig,
		"--bind-address=" + loopback,
		fmt.Sprintf("--secure-port=%d", port),
		"--tls-cert-file=" + l.pki(serverName+".crt"),
		"--tls-private-key-file=" + l.pki(serverName+".key"),
		"--leader-elect=false",
		"--kube-api-qps=300",
		"--kube-api-burst=600",
		"--profiling=false",
	}
}
