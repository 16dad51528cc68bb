"""The configuration as the deployment guide's ConfigMap holds it.

Put it in the place of d_a/config.py, or beside the start script. What it does not name comes from the
catalogue of topics and modules.
"""

KAFKA_CONFIG = {
    "bootstrap_servers": ["localhost:9092"],
    "consumer": {
        "group_id": "data_analysis_prod",
        "auto_offset_reset": "latest",
        "enable_auto_commit": True,
        "max_poll_records": 500,
        "session_timeout_ms": 30000,
        "request_timeout_ms": 40000,
        "heartbeat_interval_ms": 3000,
    },
    "producer": {
        "acks": "all",
        "retries": 3,
        "max_in_flight_requests_per_connection": 5,
        "compression_type": "gzip",
        "linger_ms": 10,
        "batch_size": 16384,
    },
}

TOPIC_DETAIL = {
    "SCHEDULE-STATION-PARAM": {
        "fields": ["stationId", "stationTemp", "lat", "lng", ...],
        "frequency": "on creation or change",
        "modules": ["load_prediction", "operation_optimization", "electricity_price", "SOH_model"],
        "window_size": 1,
    },
    "SCHEDULE-STATION-REALTIME-DATA": {
        "fields": ["stationId", "gunId", ...],
        "frequency": "every hour, each push covers 7 days",
        "modules": [
            "load_prediction",
            "electricity_price",
            "SOH_model",
            "thermal_management",
            "evaluation_model",
        ],
        "window_size": 168,
    },
    "REAL-STATION-DATA": {
        "fields": ["stationId", "power"],
        "frequency": "every minute",
        "modules": ["load_prediction"],
        "window_size": 5,
    },
}

MODULE_DEPENDENCIES = {
    "operation_optimization": ["load_prediction"],
    "electricity_price": ["pv_prediction", "evaluation_model", "SOH_model"],
    "station_guidance": ["load_prediction", "evaluation_model"],
    "thermal_management": ["load_prediction", "operation_optimization"],
}

MODULE_OUTPUT_TOPICS = {
    "load_prediction": "MODULE-OUTPUT-LOAD-PREDICTION",
    "pv_prediction": "MODULE-OUTPUT-PV-PREDICTION",
    "evaluation_model": "MODULE-OUTPUT-EVALUATION-MODEL",
    "SOH_model": "MODULE-OUTPUT-SOH-MODEL",
    "operation_optimization": "MODULE-OUTPUT-OPERATION-OPTIMIZATION",
    "electricity_price": "MODULE-OUTPUT-ELECTRICITY-PRICE",
    "station_guidance": "MODULE-OUTPUT-STATION-GUIDANCE",
    "thermal_management": "MODULE-OUTPUT-THERMAL-MANAGEMENT",
    "customer_mining": "MODULE-OUTPUT-CUSTOMER-MINING",
}
