# The real one writes <Extension>Config.cmake; EXTENSION_NAME is the project's name there too.
if(DEFINED EXTENSION_NAME AND NOT EXTENSION_NAME STREQUAL PROJECT_NAME)
  message(FATAL_ERROR "EXTENSION_NAME must be the project's name")
endif()
