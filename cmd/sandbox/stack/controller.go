// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package stack

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/cmd/sandbox/chart"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cmd/sandbox/process"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cmd/sandbox/programs"
)

// install puts the credentials and the chart into the cluster. The chart's Deployment has no replicas: there is no container
// engine here, so the controller runs as a process, with the rights of the chart's service account and no others.
func (s *Stack) install(ctx context.Context) error {
	client, err := kubernetes.NewForConfig(s.Cluster.AdminConfig())
	if err != nil {
		return fmt.Errorf("connecting to the cluster: %w", err)
	}
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "vpsie-secret"},
		StringData: s.credentials(),
	}
	if _, err := client.CoreV1().Secrets(namespace).Create(ctx, secret, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("creating the credentials Secret: %w", err)
	}
	err = chart.Install(ctx, chart.Release{
		Helm: filepath.Join(s.options.Bin, programs.Helm), Kubeconfig: s.Info.Kubeconfig, Namespace: namespace,
		Name: serviceAccount, Dir: s.options.Chart, Set: []string{"replicaCount=0", "image.repository=vpsie-autoscaler"},
	})
	if err != nil {
		return err
	}
	s.options.Step("the chart is installed: CRDs, RBAC, birth taint")
	s.Info.ControllerKubeconfig = filepath.Join(s.options.State, "controller.kubeconfig")
	if err := s.Cluster.ServiceAccountKubeconfig(ctx, namespace, serviceAccount, s.Info.ControllerKubeconfig); err != nil {
		return fmt.Errorf("taking the identity of the chart's service account: %w", err)
	}
	return nil
}

func (s *Stack) credentials() map[string]string {
	if s.options.Credentials == Client {
		return map[string]string{"clientId": clientID, "clientSecret": clientSecret, "url": s.Info.VPSieURL}
	}
	return map[string]string{"token": token, "url": s.Info.VPSieURL}
}

// StartController runs the controller and returns when it is ready.
func (s *Stack) StartController(ctx context.Context) error {
	metrics, err := freeAddress(ctx)
	if err != nil {
		return err
	}
	health, err := freeAddress(ctx)
	if err != nil {
		return err
	}
	s.Info.ControllerLog = filepath.Join(s.options.State, "log", "vpsie-autoscaler.log")
	s.controller, err = process.Start(ctx, process.Command{
		Name: "vpsie-autoscaler", Path: s.options.Controller, Log: s.Info.ControllerLog,
		Args: append([]string{
			"--kubeconfig=" + s.Info.ControllerKubeconfig, "--metrics-bind-address=" + metrics, "--health-bind-address=" + health,
			"--leader-election-namespace=" + namespace, "--log-format=console", "--vpsie-requests-per-minute=600", "--inventory-interval=1s",
			"--order-settle=20s", "--disruption-interval=2s",
		}, s.options.ControllerArgs...),
	})
	if err != nil {
		return fmt.Errorf("starting the controller: %w", err)
	}
	s.Info.MetricsURL, s.Info.HealthURL, s.Info.ControllerPID = "http://"+metrics+"/metrics", "http://"+health, s.controller.PID()
	if err := s.awaitController(ctx); err != nil {
		return err
	}
	go s.watch(s.controller)
	s.options.Step("the controller runs as %s:%s (pid %d)", namespace, serviceAccount, s.controller.PID())
	return nil
}

// watch reports a controller that ends although nobody stopped it.
func (s *Stack) watch(controller *process.Process) {
	<-controller.Done()
	if err := controller.Err(); err != nil {
		s.fail(err)
	}
}

func (s *Stack) awaitController(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		if ready(ctx, s.Info.HealthURL+"/readyz") {
			return nil
		}
		select {
		case <-s.controller.Done():
			return fmt.Errorf("the controller ended while it started: %w", s.controller.Err())
		case <-ctx.Done():
			return fmt.Errorf("the controller was not ready within a minute; its log is %s", s.Info.ControllerLog)
		case <-tick.C:
		}
	}
}

func ready(ctx context.Context, url string) bool {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return false
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return false
	}
	_ = response.Body.Close()
	return response.StatusCode == http.StatusOK
}

// StopController asks the controller to end.
func (s *Stack) StopController() error {
	ctx, cancel := context.WithTimeout(context.Background(), 25*time.Second)
	defer cancel()
	return s.controller.Stop(ctx)
}

func freeAddress(ctx context.Context) (string, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("finding a free port: %w", err)
	}
	defer listener.Close()
	return listener.Addr().String(), nil
}
