// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package vpsiesim

import (
	"strconv"
	"time"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsiesim/fault"
)

// clusterRow is the union of the fields that clients of the real API decode.
type clusterRow struct {
	ID             int     `json:"id"`
	Identifier     string  `json:"identifier"`
	UserID         int     `json:"user_id"`
	Name           string  `json:"cluster_name"`
	Nickname       string  `json:"nickname"`
	KubeVersion    string  `json:"kube_version"`
	UpgradeVersion *string `json:"upgrade_version"`
	Lock           int     `json:"lock"`
	LoadBalancerID *int    `json:"lb_id"`
	Count          int     `json:"count"`
	ManagerCount   int     `json:"managerCount"`
	SlaveCount     int     `json:"slaveCount"`
	CPU            int     `json:"cpu"`
	RAM            int     `json:"ram"`
	Traffic        int     `json:"traffic"`
	Color          string  `json:"color"`
	Price          float64 `json:"price"`
	CreatedOn      string  `json:"created_on"`
	UpdatedOn      string  `json:"updated_on"`
	CreatedBy      string  `json:"created_by"`
}

// clusterDetail is a cluster with its nodes, masters first.
type clusterDetail struct {
	clusterRow
	Nodes []nodeRow `json:"nodes"`
}

// nodeRow does not tell the node group: VPSie does not either.
type nodeRow struct {
	ID           int     `json:"id"`
	Identifier   string  `json:"identifier"`
	UserID       int     `json:"user_id"`
	Hostname     string  `json:"hostname"`
	IP           string  `json:"ip"`
	DefaultIP    string  `json:"default_ip"`
	PrivateIP    *string `json:"private_ip"`
	Status       string  `json:"status"`
	Role         string  `json:"role"`
	NodeType     int     `json:"node_type"`
	NodeID       int     `json:"node_id"`
	DatacenterID int     `json:"datacenter_id"`
	CPU          int     `json:"cpu"`
	RAM          int     `json:"ram"`
	Disk         int     `json:"disk"`
	CreatedOn    string  `json:"created_on"`
}

type groupRow struct {
	ID           int     `json:"id"`
	Name         string  `json:"group_name"`
	UserID       int     `json:"user_id"`
	BoxSizeID    int     `json:"boxsize_id"`
	DatacenterID int     `json:"datacenter_id"`
	RAM          int     `json:"ram"`
	CPU          int     `json:"cpu"`
	SSD          int     `json:"ssd"`
	Traffic      int     `json:"traffic"`
	Notes        *string `json:"notes"`
	CreatedOn    string  `json:"created_on"`
	LastUpdated  string  `json:"last_updated"`
	Dropped      *string `json:"dropped_on"`
	IsActive     int     `json:"is_active"`
	IsDeleted    int     `json:"is_deleted"`
	Identifier   string  `json:"identifier"`
	ProjectID    int     `json:"project_id"`
	ClusterID    int     `json:"cluster_id"`
	NodesCount   int     `json:"nodes_count"`
	DCIdentifier string  `json:"dcIdentifier"`
}

func (s *Server) listClusters(r *request) reply { return list([]clusterRow{s.clusterRow(r)}) }

func (s *Server) getCluster(r *request) reply {
	if !s.names(r) {
		return absent()
	}
	s.hide(r.now)
	detail := clusterDetail{clusterRow: s.clusterRow(r), Nodes: []nodeRow{s.masterRow()}}
	for _, w := range s.workers {
		if w.visible(r.now) && !s.hiding.Hides(w.machine.Identifier, r.now) {
			detail.Nodes = append(detail.Nodes, s.workerRow(w, r))
		}
	}
	return found(detail)
}

// hide lets a fault of lists strike. One that leaves nothing out does not count.
func (s *Server) hide(now time.Time) {
	var listed []string
	for _, w := range s.workers {
		if w.visible(now) {
			listed = append(listed, w.machine.Identifier)
		}
	}
	if s.hiding.Active(now) || len(listed) == 0 {
		return
	}
	if f, ok := s.strike(fault.Target{Call: fault.GetCluster}, fault.EmptyList, fault.ShortList); ok {
		s.hiding.Begin(f, now, listed)
	}
}

func (s *Server) listNodeGroups(r *request) reply {
	if !s.names(r) {
		return absent()
	}
	rows := make([]groupRow, 0, len(s.cluster.groups))
	for _, g := range s.cluster.groups {
		row := groupRow{
			ID: g.id, Name: g.name, UserID: userID, BoxSizeID: g.size.ID, DatacenterID: s.cluster.datacenterID,
			RAM: g.size.RAMMB, CPU: g.size.CPU, SSD: g.size.DiskGB, CreatedOn: isoTime(g.created), LastUpdated: isoTime(g.created),
			IsActive: 1, Identifier: g.identifier, ProjectID: projectID, ClusterID: firstClusterID,
			DCIdentifier: s.datacenter.Identifier,
		}
		for _, w := range s.workers {
			if w.group == g && w.visible(r.now) {
				row.NodesCount++
			}
		}
		rows = append(rows, row)
	}
	return list(rows)
}

// names tells whether the path names the one cluster there is.
func (s *Server) names(r *request) bool {
	return r.http.PathValue("cluster") == s.cluster.identifier
}

func (s *Server) clusterRow(r *request) clusterRow {
	row := clusterRow{
		ID: firstClusterID, Identifier: s.cluster.identifier, UserID: userID, Name: s.cluster.name,
		Nickname: s.cluster.groups[0].size.Name, KubeVersion: s.catalogue.Versions[len(s.catalogue.Versions)-1],
		ManagerCount: 1, Color: "#336699", CreatedBy: "simulator",
		CreatedOn: plainTime(s.cluster.created), UpdatedOn: plainTime(s.cluster.created),
	}
	if s.faults.Waits(fault.ClusterLocked) {
		row.Lock = 1
	}
	for _, w := range s.workers {
		if w.visible(r.now) {
			row.SlaveCount++
			row.CPU += w.size.CPU
			row.RAM += w.size.RAMMB
			row.Price += s.datacenter.monthlyPrice(w.size.PricePerMonth)
		}
	}
	row.Count = row.ManagerCount + row.SlaveCount
	return row
}

func (s *Server) masterRow() nodeRow {
	identifier := s.identifier("master")
	private := "10.90.0.2"
	return nodeRow{
		ID: firstNodeID, Identifier: identifier, UserID: userID,
		Hostname: s.hostname("master", identifier), IP: address(0), DefaultIP: address(0), PrivateIP: &private,
		Status: statusRunning, Role: "master", NodeType: masterNodeType, NodeID: hypervisorNodeID, DatacenterID: s.cluster.datacenterID,
		CPU: 2, RAM: 4096, Disk: 80, CreatedOn: plainTime(s.cluster.created),
	}
}

func (s *Server) workerRow(w *worker, r *request) nodeRow {
	row := nodeRow{
		ID: firstNodeID + w.sequence, Identifier: w.machine.Identifier, UserID: userID, Hostname: w.shownHostname,
		Status: s.status(w, r.now), Role: "slave", NodeType: workerNodeType, NodeID: hypervisorNodeID,
		DatacenterID: s.cluster.datacenterID, CPU: w.size.CPU, RAM: w.size.RAMMB, Disk: w.size.DiskGB, CreatedOn: plainTime(w.ordered),
	}
	if !r.now.Before(w.addressed) {
		row.IP, row.DefaultIP = w.machine.IP, w.machine.IP
	}
	return row
}

// addNodeGroup keeps VPSie's law: one group per size in a cluster.
func (s *Server) addNodeGroup(r *request) reply {
	sizeID, ok := r.number("KubeSizeID")
	if !ok {
		return refused(messageFieldRequired, "KubeSizeID")
	}
	if r.text("clusterIdentifier") != s.cluster.identifier {
		return refused(messageNoCluster)
	}
	size, ok := s.catalogue.offer(sizeID)
	if !ok {
		return refused(messageNoSize)
	}
	for _, g := range s.cluster.groups {
		if g.size.ID == sizeID {
			return refused(messageSameSize, g.name)
		}
	}
	if s.locked(fault.AddNodeGroup) {
		return refused(messageClusterLocked)
	}
	if _, taken := s.strike(fault.Target{Call: fault.AddNodeGroup}, fault.SameSize); taken {
		return refused(messageSameSize, s.addGroup("", size).name)
	}
	made := s.addGroup(r.text("groupName"), size)
	s.log.Info("Node group added", "group", made.name, "groupID", made.id, "sizeID", sizeID)
	return found(map[string]string{"groupId": strconv.Itoa(made.id)})
}

// deleteNodeGroup refuses a group that has machines, visible or not: they would be paid for and belong nowhere.
func (s *Server) deleteNodeGroup(r *request) reply {
	g, ok := s.cluster.group(r.http.PathValue("group"))
	if !ok {
		return refused(messageNoGroup)
	}
	for _, w := range s.workers {
		if w.group == g && !w.isGone(r.now) {
			return refused(messageGroupNotEmpty)
		}
	}
	if g == s.cluster.groups[0] {
		return refused(messageOwnGroup)
	}
	if s.locked(fault.DeleteNodeGroup) {
		return refused(messageClusterLocked)
	}
	s.cluster.remove(g)
	s.log.Info("Node group deleted", "group", g.name, "groupID", g.id)
	return done()
}

func (s *Server) locked(call fault.Call) bool {
	_, locked := s.strike(fault.Target{Call: call}, fault.ClusterLocked)
	return locked
}
