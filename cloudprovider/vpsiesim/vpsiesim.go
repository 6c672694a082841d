// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

// Package vpsiesim is a simulated VPSie. It turns a catalogue and HTTP calls of the managed-Kubernetes
// API into machines that boot, join and go, and into a ledger of what they cost. It shares no code
// with the client it tests, reads time only from its clock, and makes the same machines from the same
// seed and calls. It never labels or taints a node: VPSie does neither.
package vpsiesim

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsiesim/fault"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsiesim/ledger"
)

// Machine is a worker as it boots: what its kubelet sees.
type Machine struct {
	Identifier string `json:"identifier"`
	// Hostname is in lower case, as node names are, whatever the API shows.
	Hostname string `json:"hostname"`
	IP       string `json:"ip"`
	SizeID   int    `json:"sizeId"`
	SizeName string `json:"sizeName"`
	CPU      int    `json:"cpu"`
	// MemoryMB is what the guest sees, less than was sold if the memory balloons.
	MemoryMB       int    `json:"memoryMB"`
	DiskGB         int    `json:"diskGB"`
	DatacenterID   string `json:"datacenterId"`
	DatacenterCode string `json:"datacenterCode"`
}

// Joiner makes a machine a node of a Kubernetes cluster, and takes it out again when the machine is
// gone. A call that fails is repeated a second later, so both must bear repetition.
type Joiner interface {
	Join(ctx context.Context, machine Machine) error
	Leave(ctx context.Context, machine Machine) error
}

// Range is how long something takes: at least Min, at most Max.
type Range struct{ Min, Max time.Duration }

// Options says what is simulated. Only credentials are needed: Token, or ClientID and ClientSecret.
type Options struct {
	// Catalogue is what is sold; nil is the embedded one.
	Catalogue *Catalogue
	// Clock drives the machines and the bill; nil is the real one.
	Clock clock.WithTicker
	// Seed decides identifiers, hostnames and delays.
	Seed int64

	// Token is the static API token.
	Token string
	// ClientID and ClientSecret are exchanged for a token that expires.
	ClientID     string
	ClientSecret string
	// TokenLifetime is how long an exchanged token is good; zero is an hour.
	TokenLifetime time.Duration

	// DatacenterCode is where the cluster runs; empty is the first datacenter of the catalogue.
	DatacenterCode string
	// ClusterName is empty for one like VPSie makes, such as HEL-Kubernetes-49ab.
	ClusterName string
	// DefaultSizeID is the size of the cluster's own node group; zero is the first offer.
	DefaultSizeID int
	// WorkerLimit is how many workers the account may have; zero is 20.
	WorkerLimit int

	// VisibleDelay is from the order to the listed machine, IPDelay on to its address, BootDelay on to
	// its joining. Zero is at once.
	VisibleDelay Range
	IPDelay      Range
	BootDelay    Range
	// DeleteDelay is from the deletion until the machine is gone.
	DeleteDelay time.Duration

	// Joiner is nil if nobody joins: machines boot and that is all.
	Joiner Joiner
	Logger logr.Logger
}

const (
	defaultWorkerLimit   = 20
	defaultTokenLifetime = time.Hour
)

// Server is one VPSie account with one cluster. Handler and AdminHandler may be served anywhere; Run
// must run for machines to join.
type Server struct {
	catalogue  *Catalogue
	clock      clock.WithTicker
	seed       int64
	joiner     Joiner
	log        logr.Logger
	datacenter Datacenter
	// wake tells Run that something new may be due.
	wake chan struct{}

	mu       sync.Mutex // guards everything below
	auth     authenticator
	settings settings
	cluster  cluster
	workers  []*worker // oldest first
	ledger   ledger.Ledger
	faults   fault.Queue
	hiding   fault.Hiding
	calls    map[fault.Call]int
}

// New checks the options and makes a cluster without workers.
func New(options Options) (*Server, error) {
	options, err := withDefaults(options)
	if err != nil {
		return nil, fmt.Errorf("making a simulated VPSie: %w", err)
	}
	dc, dcIndex, ok := options.Catalogue.datacenter(func(dc Datacenter) bool { return dc.Code == options.DatacenterCode })
	if !ok {
		return nil, fmt.Errorf("making a simulated VPSie: option DatacenterCode: the catalogue has no datacenter %q, it has %s",
			options.DatacenterCode, datacenterCodes(options.Catalogue))
	}
	size, ok := options.Catalogue.offer(options.DefaultSizeID)
	if !ok {
		return nil, fmt.Errorf("making a simulated VPSie: option DefaultSizeID: the catalogue has no offer with id %d", options.DefaultSizeID)
	}
	if options.ClusterName == "" {
		options.ClusterName = dc.Code + "-Kubernetes-49ab"
	}
	s := &Server{
		catalogue:  options.Catalogue,
		clock:      options.Clock,
		seed:       options.Seed,
		auth:       newAuthenticator(options),
		joiner:     options.Joiner,
		log:        options.Logger,
		datacenter: dc,
		wake:       make(chan struct{}, 1),
		settings:   settingsOf(options),
		calls:      map[fault.Call]int{},
	}
	s.cluster = s.newCluster(options.ClusterName, dcIndex)
	s.addGroup("", size)
	return s, nil
}

func withDefaults(options Options) (Options, error) {
	if options.Catalogue == nil {
		embedded, err := EmbeddedCatalogue()
		if err != nil {
			return options, fmt.Errorf("reading the embedded catalogue: %w", err)
		}
		options.Catalogue = embedded
	}
	if err := options.Catalogue.validate(); err != nil {
		return options, fmt.Errorf("option Catalogue: %w", err)
	}
	if options.Clock == nil {
		options.Clock = clock.RealClock{}
	}
	if options.DatacenterCode == "" {
		options.DatacenterCode = options.Catalogue.Datacenters[0].Code
	}
	if options.DefaultSizeID == 0 {
		options.DefaultSizeID = options.Catalogue.Offers[0].ID
	}
	if options.WorkerLimit == 0 {
		options.WorkerLimit = defaultWorkerLimit
	}
	if options.TokenLifetime == 0 {
		options.TokenLifetime = defaultTokenLifetime
	}
	if (options.ClientID == "") != (options.ClientSecret == "") {
		return options, errors.New("options ClientID and ClientSecret: one is set, the other is not")
	}
	if options.Token == "" && options.ClientID == "" {
		return options, errors.New("option Token: it is empty, and there is no ClientID and ClientSecret either")
	}
	if options.TokenLifetime < 0 {
		return options, fmt.Errorf("option TokenLifetime: %s is negative", options.TokenLifetime)
	}
	return options, settingsOf(options).validate()
}

func datacenterCodes(catalogue *Catalogue) string {
	codes := make([]string, 0, len(catalogue.Datacenters))
	for _, dc := range catalogue.Datacenters {
		codes = append(codes, dc.Code)
	}
	return strings.Join(codes, ", ")
}

// ClusterIdentifier is the identifier of the one cluster.
func (s *Server) ClusterIdentifier() string { return s.cluster.identifier }
