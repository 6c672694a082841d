// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"cmp"
	"encoding/json"
	"errors"
	"strings"
)

// Cluster is a managed Kubernetes cluster. Nodes are there only where one cluster was asked for.
type Cluster struct {
	Identifier string
	Name       string
	Datacenter string // identifier; empty where VPSie does not tell
	Locked     bool
	Nodes      []Node
}

// Role is what a node of a cluster is for.
type Role string

// The roles.
const (
	Worker      Role = "worker"
	Manager     Role = "manager"
	UnknownRole Role = ""
)

// Node is one machine of a cluster. VPSie tells different parts of it to different clients; the rest is empty.
type Node struct {
	Identifier string
	Hostname   string
	IP         string
	Role       Role
	Status     string // in lower case
	SizeID     int64
	CPUs       float64
	MemoryMB   int64
	DiskGB     int64
	Deleted    bool // the row outlived its machine
}

type wireCluster struct {
	Identifier text            `json:"identifier"`
	Name       text            `json:"cluster_name"`
	Datacenter text            `json:"dcIdentifier"`
	Lock       flag            `json:"lock"`
	Nodes      json.RawMessage `json:"nodes"`
	Masters    json.RawMessage `json:"masters"`
	Slaves     json.RawMessage `json:"slaves"`
}

func (c *Cluster) decode(data []byte) error {
	var w wireCluster
	if err := json.Unmarshal(data, &w); err != nil {
		return errors.New("a cluster has an unknown shape")
	}
	*c = Cluster{Identifier: string(w.Identifier), Name: string(w.Name), Datacenter: string(w.Datacenter), Locked: bool(w.Lock)}
	if c.Identifier == "" {
		return missing("a cluster", "identifier")
	}
	return nil
}

// decodeWithNodes also reads the nodes, from whichever of the three lists are there. If none is that could hold workers,
// that is an error: it must not be taken for a cluster without machines.
func (c *Cluster) decodeWithNodes(data []byte) error {
	if err := c.decode(data); err != nil {
		return err
	}
	var w wireCluster
	if err := json.Unmarshal(data, &w); err != nil {
		return errors.New("a cluster has an unknown shape")
	}
	lists, at := 0, map[string]int{}
	for _, part := range []struct {
		data json.RawMessage
		role Role
	}{{w.Slaves, Worker}, {w.Masters, Manager}, {w.Nodes, UnknownRole}} {
		if IsAbsent(part.data) {
			continue
		}
		if part.role != Manager {
			lists++
		}
		rows, err := list(part.data)
		if err != nil {
			return errors.New("its list of nodes is not a list")
		}
		for _, row := range rows {
			var n Node
			if err := n.decode(row, part.role); err != nil {
				return err
			}
			c.add(n, at)
		}
	}
	if lists == 0 {
		return missing("the cluster", "list of workers")
	}
	return nil
}

// add merges rows of one machine: the three lists may overlap.
func (c *Cluster) add(n Node, at map[string]int) {
	i, seen := at[n.Identifier]
	if !seen || n.Identifier == "" {
		at[n.Identifier] = len(c.Nodes)
		c.Nodes = append(c.Nodes, n)
		return
	}
	known := &c.Nodes[i]
	if known.Role == UnknownRole || n.Role == Manager { // a machine that may be a manager must never look like a worker
		known.Role = n.Role
	}
	known.Hostname = cmp.Or(known.Hostname, n.Hostname)
	known.IP = cmp.Or(known.IP, n.IP)
	known.Status = cmp.Or(known.Status, n.Status)
	known.SizeID = cmp.Or(known.SizeID, n.SizeID)
	known.CPUs = cmp.Or(known.CPUs, n.CPUs)
	known.MemoryMB = cmp.Or(known.MemoryMB, n.MemoryMB)
	known.DiskGB = cmp.Or(known.DiskGB, n.DiskGB)
	known.Deleted = known.Deleted && n.Deleted
}

func (n *Node) decode(data []byte, role Role) error {
	var w struct {
		Identifier text   `json:"identifier"`
		Hostname   text   `json:"hostname"`
		IP         text   `json:"ip"`
		DefaultIP  text   `json:"default_ip"`
		PrivateIP  text   `json:"private_ip"`
		Role       text   `json:"role"`
		NodeType   text   `json:"node_type"`
		Status     text   `json:"status"`
		SizeID     number `json:"boxsize_id"`
		CPU        number `json:"cpu"`
		RAM        number `json:"ram"`
		Disk       number `json:"disk"`
		SSD        number `json:"ssd"`
		Deleted    flag   `json:"is_deleted"`
		Terminated flag   `json:"is_terminated"`
	}
	if err := json.Unmarshal(data, &w); err != nil || IsAbsent(data) {
		return errors.New("a node has an unknown shape")
	}
	*n = Node{
		Identifier: string(w.Identifier), Hostname: string(w.Hostname), IP: string(cmp.Or(w.IP, w.DefaultIP, w.PrivateIP)),
		Role:   cmp.Or(role, roleOf(string(w.Role)), roleOf(string(w.NodeType)), roleIn(string(w.Hostname))),
		Status: strings.ToLower(string(w.Status)), SizeID: w.SizeID.whole(), CPUs: float64(w.CPU), MemoryMB: w.RAM.whole(),
		DiskGB: cmp.Or(w.Disk, w.SSD).whole(), Deleted: bool(w.Deleted) || bool(w.Terminated),
	}
	return nil
}

// roleOf reads a word. Numbers, which node_type is often sent as, say nothing: nobody knows what they stand for.
func roleOf(word string) Role {
	switch strings.ToLower(word) {
	case "slave", "worker", "node", "agent":
		return Worker
	case "master", "manager", "control-plane", "controlplane", "controller", "etcd":
		return Manager
	}
	return UnknownRole
}

// roleIn reads the name that VPSie gives, <cluster>-slave-<4 hex>. The last mark counts: the cluster's name comes first.
func roleIn(hostname string) Role {
	hostname = strings.ToLower(hostname)
	manager := max(strings.LastIndex(hostname, "-master-"), strings.LastIndex(hostname, "-manager-"))
	worker := max(strings.LastIndex(hostname, "-slave-"), strings.LastIndex(hostname, "-worker-"))
	switch {
	case manager > worker:
		return Manager
	case worker > manager:
		return Worker
	}
	return UnknownRole
}
