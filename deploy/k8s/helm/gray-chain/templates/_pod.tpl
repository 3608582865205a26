{{/* Name of an object: what is gray has a suffix, so that both releases fit into one namespace. */}}
{{- define "gray-chain.name" -}}
{{ .name }}{{ if eq .root.Values.release "gray" }}-gray{{ end }}
{{- end }}

{{/* Labels by which the pods of one Deployment are known. They never change. */}}
{{- define "gray-chain.selector" -}}
app.kubernetes.io/name: {{ .name }}
release: {{ .root.Values.release }}
{{- end }}

{{- define "gray-chain.labels" -}}
{{ include "gray-chain.selector" . }}
app.kubernetes.io/part-of: gray-chain
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
{{- end }}

{{- define "gray-chain.image" -}}
{{- if .app.image }}{{ .app.image }}
{{- else if .root.Values.image.digest }}{{ .root.Values.image.repository }}@{{ .root.Values.image.digest }}
{{- else }}{{ .root.Values.image.repository }}:{{ .root.Values.image.tag }}
{{- end }}
{{- end }}

{{/* A Deployment and its PodDisruptionBudget, of .name, with .app of the values. .gateway: it is the gateway. */}}
{{- define "gray-chain.deployment" -}}
{{- $preStop := int (default 0 .app.preStop) }}
{{- $stop := .root.Values.stop }}
{{- $probes := ternary "admin" "http" .gateway }}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ include "gray-chain.name" . }}
  labels:
    {{- include "gray-chain.labels" . | nindent 4 }}
spec:
  replicas: {{ .app.replicas }}
  revisionHistoryLimit: 5
  minReadySeconds: 5
  progressDeadlineSeconds: 300
  strategy:
    type: RollingUpdate
    rollingUpdate: { maxSurge: 1, maxUnavailable: 0 }
  selector:
    matchLabels:
      {{- include "gray-chain.selector" . | nindent 6 }}
  template:
    metadata:
      labels:
        {{- include "gray-chain.labels" . | nindent 8 }}
        version: {{ .root.Values.version | quote }}
        {{- with .root.Values.grayTag }}
        gray-tag: {{ . | quote }}
        {{- end }}
      annotations:
        # New settings for all pods are a new version of the Deployment.
        checksum/environment: {{ include (print .root.Template.BasePath "/environment.yaml") .root | sha256sum }}
    spec:
      automountServiceAccountToken: false
      enableServiceLinks: false # no GRAY_PORT=tcp://... because of a Service called gray
      # preStop, deregistration (2 s), drainWait, drain, last lines of the access log (2 s), and some time to spare
      terminationGracePeriodSeconds: {{ add $preStop 2 (int $stop.drainWait) (int $stop.drain) 2 8 }}
      {{- with .root.Values.imagePullSecrets }}
      imagePullSecrets:
        {{- range . }}
        - name: {{ . }}
        {{- end }}
      {{- end }}
      securityContext:
        runAsNonRoot: true
        runAsUser: 10001
        runAsGroup: 10001
        fsGroup: 10001
        seccompProfile: { type: RuntimeDefault }
      containers:
        - name: app
          image: {{ include "gray-chain.image" . }}
          imagePullPolicy: {{ .root.Values.image.pullPolicy }}
          command: {{ .app.command | toJson }}
          securityContext:
            allowPrivilegeEscalation: false
            readOnlyRootFilesystem: true
            capabilities: { drop: [ALL] }
          ports:
            - { name: http, containerPort: {{ .app.port }} }
            {{- if .gateway }}
            - { name: admin, containerPort: {{ .app.adminPort }} }
            {{- end }}
          envFrom:
            - configMapRef: { name: {{ include "gray-chain.name" (dict "name" "gray-chain" "root" .root) }} }
            - secretRef: { name: {{ .root.Values.nacos.secret }}, optional: true }
          env:
            - name: GRAY_PORT
              value: {{ .app.port | quote }}
            - name: GRAY_ADVERTISE
              valueFrom: { fieldRef: { fieldPath: status.podIP } }
            - name: GRAY_SERVICE_VERSION
              valueFrom: { fieldRef: { fieldPath: "metadata.labels['version']" } }
            - name: GRAY_TAG
              valueFrom: { fieldRef: { fieldPath: "metadata.labels['gray-tag']" } }
            - name: POD_NAME
              valueFrom: { fieldRef: { fieldPath: metadata.name } }
            - name: NODE_NAME
              valueFrom: { fieldRef: { fieldPath: spec.nodeName } }
            {{- if not (hasKey (default dict .app.env) "GRAY_METADATA") }}
            - name: GRAY_METADATA
              value: pod=$(POD_NAME),node=$(NODE_NAME)
            {{- end }}
            - name: GRAY_SNAPSHOT_DIR
              value: /var/lib/gray-chain/snapshot
            - name: GRAY_DRAIN_WAIT
              value: {{ $stop.drainWait }}s
            - name: GRAY_DRAIN
              value: {{ $stop.drain }}s
            {{- if .gateway }}
            - name: GRAY_ADMIN_BIND
              value: 0.0.0.0
            - name: GRAY_ADMIN_PORT
              value: {{ .app.adminPort | quote }}
            - name: GRAY_ADMIN_TOKEN
              valueFrom: { secretKeyRef: { name: {{ .app.adminTokenSecret.name }}, key: {{ .app.adminTokenSecret.key }} } }
            {{- end }}
            {{- range $name, $value := .app.env }}
            - name: {{ $name }}
              value: {{ $value | quote }}
            {{- end }}
          startupProbe:
            httpGet: { path: /livez, port: {{ $probes }} }
            periodSeconds: 1
            failureThreshold: 60
          livenessProbe:
            httpGet: { path: /livez, port: {{ $probes }} }
            periodSeconds: 10
            timeoutSeconds: 3
            failureThreshold: 3
          readinessProbe:
            httpGet: { path: /readyz, port: {{ $probes }} }
            periodSeconds: 2
            timeoutSeconds: 2
            failureThreshold: 2
          {{- if $preStop }}
          lifecycle:
            preStop: { exec: { command: [sleep, {{ $preStop | quote }}] } }
          {{- end }}
          resources:
            {{- toYaml .app.resources | nindent 12 }}
          volumeMounts:
            - { name: data, mountPath: /var/lib/gray-chain }
      volumes:
        - name: data
          emptyDir: { sizeLimit: {{ .root.Values.data.sizeLimit }} }
      topologySpreadConstraints:
        {{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
        - maxSkew: 1
          topologyKey: {{ . }}
          whenUnsatisfiable: ScheduleAnyway
          labelSelector:
            matchLabels:
              {{- include "gray-chain.selector" $ | nindent 14 }}
        {{- end }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ include "gray-chain.name" . }}
  labels:
    {{- include "gray-chain.labels" . | nindent 4 }}
spec:
  maxUnavailable: {{ .root.Values.podDisruptionBudget.maxUnavailable }}
  selector:
    matchLabels:
      {{- include "gray-chain.selector" . | nindent 6 }}
{{- end }}
