// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package vpsiesim

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Numbers start far apart, so that a client that mixes two kinds of them up finds nothing.
const (
	userID           = 7001
	projectID        = 71128
	firstClusterID   = 301
	firstGroupID     = 4101
	firstNodeID      = 90001
	firstDatacenter  = 11
	masterNodeType   = 1
	workerNodeType   = 2
	hypervisorNodeID = 55
)

// cluster is the one managed Kubernetes cluster of the account.
type cluster struct {
	identifier   string
	name         string
	datacenterID int
	created      time.Time
	groups       []*group // oldest first; the first is the cluster's own
	groupsMade   int
}

// group is a node group: machines of one size.
type group struct {
	id         int
	identifier string
	name       string
	size       Offer
	created    time.Time
}

func (s *Server) newCluster(name string, datacenterIndex int) cluster {
	return cluster{
		identifier:   s.identifier("cluster", name),
		name:         name,
		datacenterID: firstDatacenter + datacenterIndex,
		created:      s.clock.Now(),
	}
}

// addGroup names the group as VPSie does if the caller does not.
func (s *Server) addGroup(name string, size Offer) *group {
	number := strconv.Itoa(s.cluster.groupsMade)
	identifier := s.identifier("group", number)
	if name == "" {
		name = fmt.Sprintf("GRP-%s-%s", size.Name, identifier[:4])
	}
	made := &group{
		id: firstGroupID + s.cluster.groupsMade, identifier: identifier,
		name: name, size: size, created: s.clock.Now(),
	}
	s.cluster.groups = append(s.cluster.groups, made)
	s.cluster.groupsMade++
	return made
}

// identifier is the UUID of a thing, the same for every run with this seed.
func (s *Server) identifier(parts ...string) string {
	text := strconv.FormatInt(s.seed, 10) + "/" + strings.Join(parts, "/")
	return uuid.NewSHA1(uuid.NameSpaceURL, []byte("vpsiesim://"+text)).String()
}

// group finds a group by its number or its UUID: clients use both.
func (c *cluster) group(reference string) (*group, bool) {
	i := slices.IndexFunc(c.groups, func(g *group) bool {
		return g.identifier == reference || strconv.Itoa(g.id) == reference
	})
	if i < 0 {
		return nil, false
	}
	return c.groups[i], true
}

func (c *cluster) remove(g *group) {
	c.groups = slices.DeleteFunc(c.groups, func(other *group) bool { return other == g })
}

// isoTime and plainTime are the two ways VPSie writes times.
func isoTime(t time.Time) string   { return t.UTC().Format("2006-01-02T15:04:05.000Z") }
func plainTime(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") }
